// Package oidc takes tokens of an identity provider for principals: a second way in besides API
// keys. The provider's claims say which scopes and which team somebody has; nothing is stored here.
// A provider that is away is no reason not to start, and its keys that were fetched go on counting.
package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/longtake/longtake/internal/access"
)

// Limits of what a provider is asked, and of what it may answer.
const (
	askTime   = 10 * time.Second // for an answer
	askPause  = 5 * time.Second  // between two questions: any client can send a token of unknown key
	answerMax = 1 << 20          // bytes
	// skew is how far the clocks of the provider and of this machine may differ.
	skew = time.Minute
)

// algorithms are the signatures that count: those with a public key.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// Config says whose tokens count, and what they mean.
type Config struct {
	Issuer   string // the provider's URL, as its tokens have it
	Audience string // that tokens have to be meant for
	// Rules give scopes by claims; TeamClaim is the claim with the team, "" for none.
	Rules     []Rule
	TeamClaim string
	// Transport asks the provider; nil: http.DefaultTransport. Now is the time; nil: time.Now.
	Transport http.RoundTripper
	Now       func() time.Time
}

// Provider judges tokens. It may be used by several goroutines.
type Provider struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex // held while the provider is asked where its keys are
	verifier *oidc.IDTokenVerifier
	asked    time.Time // when it last was, in vain
}

// New returns a provider, which it does not ask yet.
func New(cfg Config) *Provider {
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{cfg: cfg, client: &http.Client{Timeout: askTime,
		Transport: &patient{next: cfg.Transport, now: cfg.Now, last: map[string]time.Time{}}}}
}

// Verify returns who a token stands for. The error wraps access.ErrUnavailable if the provider is
// needed to judge it and does not answer; it never has the token in it.
func (p *Provider) Verify(ctx context.Context, token string) (access.Principal, error) {
	v, err := p.discover()
	if err != nil {
		return access.Principal{}, err
	}

	var fetching error
	t, err := v.Verify(context.WithValue(ctx, fetchKey{}, &fetching), token)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return access.Principal{}, fmt.Errorf("the token has expired at %s",
			expired.Expiry.UTC().Format(time.RFC3339))
	case fetching != nil:
		return access.Principal{}, fmt.Errorf("%w: %w", access.ErrUnavailable, fetching)
	case err != nil:
		return access.Principal{}, fmt.Errorf("the token is not one of %s for %q: %.200v", p.cfg.Issuer,
			p.cfg.Audience, err)
	}

	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return access.Principal{}, errors.New("the token has claims that cannot be read")
	}
	return p.principal(t.Issuer, t.Subject, claims), nil
}

// principal is whom claims describe. Its id is of the issuer and the subject, which never change.
func (p *Provider) principal(issuer, subject string, claims map[string]any) access.Principal {
	sum := sha256.Sum256([]byte(issuer + "\n" + subject))
	who := access.Principal{ID: "oidc_" + hex.EncodeToString(sum[:16])}
	for _, name := range []string{"email", "preferred_username"} {
		text, _ := claims[name].(string)
		if who.Name == "" && access.CheckName("name", text) == nil {
			who.Name = text
		}
	}
	if who.Name == "" {
		who.Name = who.ID
	}

	for _, team := range texts(claims[p.cfg.TeamClaim]) {
		if who.Team == "" && access.CheckName("team", team) == nil {
			who.Team = team
		}
	}
	who.Scopes = scopesOf(p.cfg.Rules, claims)
	return who
}

// discover asks the provider where its keys are, once; while it does not answer, again after a
// pause.
func (p *Provider) discover() (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	if now := p.cfg.Now(); now.Before(p.asked.Add(askPause)) {
		return nil, access.ErrUnavailable
	}

	// Both are bounded by the client's own limit of time.
	// The key set asks with this context for as long as it lives, so it is of no request.
	ctx := oidc.ClientContext(context.Background(), p.client)
	found, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	var said struct {
		Keys string `json:"jwks_uri"`
	}
	if err == nil {
		err = found.Claims(&said)
	}
	if err != nil {
		p.asked = p.cfg.Now()
		return nil, fmt.Errorf("%w: %.200v", access.ErrUnavailable, err)
	}

	p.verifier = oidc.NewVerifier(p.cfg.Issuer, &keySet{oidc.NewRemoteKeySet(ctx, said.Keys)},
		&oidc.Config{ClientID: p.cfg.Audience, SupportedSigningAlgs: algorithms,
			Now: func() time.Time { return p.cfg.Now().Add(-skew) }})
	return p.verifier, nil
}

// fetchKey is where a context has the error of fetching keys, which the library turns into a text.
type fetchKey struct{}

// keySet are the provider's keys. The library keeps those that it has fetched, and takes all of
// them anew when it fetches again, so that keys which the provider has dropped do not count any
// more.
type keySet struct{ oidc.KeySet }

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	var asking *askError
	if to, ok := ctx.Value(fetchKey{}).(*error); ok && errors.As(err, &asking) {
		*to = asking.err
	}
	return payload, err
}

// askError is why a provider was asked in vain. It tells that from a token which is wrong: the
// one is a 503, which clients repeat, the other a 401.
type askError struct{ err error }

// Error implements error.
func (e *askError) Error() string { return e.err.Error() }

// patient asks for a URL once in a while only, and reads a bounded answer. The library asks for
// keys whenever a token is of a key that it does not know, or has a wrong signature: without a
// pause, whoever sends such tokens would have this coordinator flood the provider.
type patient struct {
	next http.RoundTripper
	now  func() time.Time

	mu   sync.Mutex
	last map[string]time.Time // when a URL was asked for; there are two
}

// errTooSoon says that keys were fetched a moment ago, and that of the token was not among them.
var errTooSoon = errors.New("its key is not known, and keys were fetched a moment ago")

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	now, url := p.now(), r.URL.String()
	soon := now.Before(p.last[url].Add(askPause))
	if !soon {
		p.last[url] = now
	}
	p.mu.Unlock()
	if soon {
		return nil, errTooSoon
	}

	resp, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, &askError{err}
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		resp.Body.Close()
		return nil, &askError{fmt.Errorf("it answers %s", resp.Status)}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, answerMax), resp.Body}
	return resp, nil
}
