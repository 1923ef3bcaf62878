package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
)

// Auth says who may use an API. The zero Auth lets in who has a key of the cluster, and nobody
// else.
type Auth struct {
	// Anonymous is what may be done without a key, or with one of another server, which SDKs want to
	// be given. A text that looks like a key of longtake is always judged as one.
	Anonymous access.Scopes
	// LocalKey is the hash of the local key, which may do everything; "": there is none.
	LocalKey string
	// Tokens judges tokens of identity providers; nil: there are none.
	Tokens Tokens
}

// Tokens judges the tokens of an identity provider. It may be called by several goroutines.
type Tokens interface {
	// Verify returns who a token stands for. The error is for the client, and does not have the
	// token in it; access.ErrUnavailable is that the token could not be judged.
	Verify(ctx context.Context, token string) (access.Principal, error)
}

// What a route wants besides scopes of package access.
const (
	// anyone: no key is needed, as for probes; or the route judges by itself who asks.
	anyone access.Scope = "anyone"
	// anyKey: any key does, whatever its scopes.
	anyKey access.Scope = "known"
)

// credentialMax bounds a key or a token, in bytes. Tokens with many groups have some kilobytes.
const credentialMax = 16 << 10

// errCredential is a header that cannot be read as one key.
var errCredential = errors.New("Authorization or x-api-key is given twice or has more than " +
	"16 KiB; allowed: one key, as Authorization: Bearer KEY")

// credential returns the key or token of a request, "" if it has none: that of Authorization, if
// its scheme is Bearer, else that of x-api-key. Other schemes are for proxies in between.
func credential(h http.Header) (string, error) {
	auth, keys := h["Authorization"], h["X-Api-Key"]
	if len(auth) > 1 || len(keys) > 1 {
		return "", errCredential
	}

	// A scheme's name is written as anyone likes: RFC 9110, 11.1.
	text := ""
	if len(auth) == 1 {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(auth[0]), " ")
		if strings.EqualFold(scheme, "Bearer") {
			text = strings.TrimSpace(rest)
		}
	}

	if text == "" && len(keys) == 1 {
		text = strings.TrimSpace(keys[0])
	}
	if len(text) > credentialMax {
		return "", errCredential
	}
	return text, nil
}

// isToken reports whether a credential has the form of a signed JSON Web Token.
func isToken(text string) bool {
	return strings.Count(text, ".") == 2 && strings.HasPrefix(text, "eyJ")
}

// refusal is why nobody is let in: a word for the metrics, and the error.
type refusal struct {
	reason string
	err    error
}

// Error implements error.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.err }

// reasons are the words of the metrics for what coordinators say of keys.
var reasons = []struct {
	err  error
	word string
}{{access.ErrUnknown, "unknown"}, {access.ErrExpired, "expired"}, {access.ErrRevoked, "revoked"},
	{access.ErrRotated, "rotated"}}

// identify returns who sends a request. The error is a *refusal, or one of the service.
func (s *server) identify(r *http.Request) (access.Principal, error) {
	text, err := credential(r.Header)
	switch {
	case err != nil:
		return access.Principal{}, &refusal{"malformed", err}
	case access.LooksLikeKey(text):
		return s.holder(r.Context(), text)
	case s.auth.Tokens != nil && isToken(text):
		return s.bearer(r.Context(), text)
	case len(s.auth.Anonymous) == 0 && text == "":
		return access.Principal{}, &refusal{"missing", errors.New("an API key is missing")}
	case len(s.auth.Anonymous) == 0:
		return access.Principal{}, &refusal{"malformed", errors.New("this is no API key of longtake")}
	}

	return access.Principal{Name: "anonymous", Scopes: s.auth.Anonymous}, nil
}

// holder returns who holds a key. Of the local key the coordinator has no record: it is of this
// process, or of all processes of its user on this machine.
func (s *server) holder(ctx context.Context, text string) (access.Principal, error) {
	if id, ok := access.ParseText(text); ok && id == access.Local && s.auth.LocalKey != "" {
		if access.Same(access.HashText(text), s.auth.LocalKey) {
			return access.Principal{ID: access.Local, Name: access.Local, Scopes: access.AllScopes}, nil
		}
		return access.Principal{}, &refusal{"unknown", access.ErrUnknown}
	}

	// The coordinator does the same work whether it knows the key or not.
	p, err := s.service.Admit(ctx, text)
	for _, of := range reasons {
		if errors.Is(err, of.err) {
			return p, &refusal{of.word, err}
		}
	}
	return p, err
}

// bearer returns whom a token stands for.
func (s *server) bearer(ctx context.Context, text string) (access.Principal, error) {
	p, err := s.auth.Tokens.Verify(ctx, text)
	if errors.Is(err, access.ErrUnavailable) {
		return p, &schema.Error{Status: http.StatusServiceUnavailable, Type: "server_error",
			Code: "identity_provider_unavailable", Message: err.Error()}
	}
	if err != nil {
		return p, &refusal{"token", err}
	}
	return p, nil
}

// howToGetIn ends the errors of those who have no key that works.
const howToGetIn = "; allowed: a key of this cluster, as Authorization: Bearer lt_... (commands: " +
	"LONGTAKE_API_KEY or LONGTAKE_API_KEY_FILE); an administrator makes one: longtake key create"

// byLocalKey ends the same errors where there is a local key.
func (s *server) byLocalKey() string {
	if s.auth.LocalKey == "" {
		return ""
	}
	return "; the longtake command of the user who runs this coordinator needs none on this machine"
}

// admit returns who sends a request, if that may use the route; a header says which scheme it takes
// to get in. The principal is that of who was refused, too, if it is known.
func (s *server) admit(w http.ResponseWriter, r *http.Request, want access.Scope) (access.Principal,
	error) {
	if want == anyone {
		return access.Principal{}, nil
	}

	p, err := s.identify(r)
	var no *refusal
	if errors.As(err, &no) {
		away := s.service.Leading(r.Context())
		if away != nil && isUnknown(err) && want != access.Metrics {
			return p, away // the leader may know a key that was just made
		}
		return p, s.refuse(w, r, no)
	}

	if err != nil || want == anyKey || p.Scopes.Has(want) {
		return p, err
	}

	// Without a key it is a key that is missing; with one, a scope.
	s.metrics.refused("scope")
	if p.ID == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="longtake"`)
		return p, &schema.Error{Status: http.StatusUnauthorized, Type: "invalid_request_error",
			Code: "unauthenticated", Message: fmt.Sprintf("%s %s needs an API key with scope %s, as "+
				"without one only %s are allowed here%s%s", r.Method, r.URL.Path, want,
				cmp.Or(p.Scopes.String(), "no scopes"), howToGetIn, s.byLocalKey())}
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(
		`Bearer realm="longtake", error="insufficient_scope", scope=%q`, want))
	return p, &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error",
		Code: "forbidden", Message: fmt.Sprintf("%s %s needs scope %s; %.64q has %s", r.Method,
			r.URL.Path, want, p.Name, cmp.Or(p.Scopes.String(), "none"))}
}

// refuse is the answer to who is not let in. It is counted, and logged as often as the failures of
// an address may be; what comes beyond that is a 429. An address whose other clients have good keys
// is not shut out.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, no *refusal) error {
	s.metrics.refused(no.reason)
	if wait, ok := s.failures.take(r.RemoteAddr); !ok {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		return &schema.Error{Status: http.StatusTooManyRequests, Type: "invalid_request_error",
			Code: "rate_limited", Message: fmt.Sprintf("too many requests without a key that works come "+
				"from this address: %v; try again in %v", no, wait.Round(1e9))}
	}

	// The id is no secret: it is what an operator looks for among the keys.
	text, _ := credential(r.Header)
	id, _ := access.ParseText(text)
	s.log.Warn("a client was not let in", "reason", no.reason, "from", r.RemoteAddr, "key", id,
		"request", r.Header.Get(requestIDHeader), "method", r.Method, "path", r.URL.Path)

	challenge := `Bearer realm="longtake"`
	if no.reason != "missing" {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	return &schema.Error{Status: http.StatusUnauthorized, Type: "invalid_request_error",
		Code: "unauthenticated", Message: no.Error() + howToGetIn}
}
