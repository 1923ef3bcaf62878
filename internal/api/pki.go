package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/longtake/longtake/internal/access"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/pki"
)

// certMax bounds the body of a request about certificates, in bytes: a request for one has a KB.
const certMax = 32 << 10

// pkiRoutes are those of certificates. Three of them judge by themselves who asks: joining by a
// token, the other two by the certificate of the client. So they need no API key, which processes
// of the cluster do not have. The others are an administrator's.
//
// All but the bundle are the leader's: a follower sends the client on, as everywhere. None of them
// does anything where the API has no TLS, since there is no authority without certificates.
func (s *server) pkiRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/pki/join", f: s.join, scope: anyone},
		{method: "POST", path: "/v1/pki/renew", f: s.renew, scope: anyone},
		{method: "GET", path: "/v1/pki/bundle", f: s.bundle, scope: anyone},

		{method: "GET", path: "/v1/pki", f: s.authority, scope: access.Admin},
		{method: "POST", path: "/v1/pki/tokens", f: s.newToken, scope: access.Admin},
		{method: "DELETE", path: "/v1/pki/tokens/{id}", f: s.voidToken, scope: access.Admin},
		{method: "POST", path: "/v1/pki/revoked", f: s.revoke(false), scope: access.Admin},
		{method: "DELETE", path: "/v1/pki/revoked/{role}/{name}", f: s.revoke(true), scope: access.Admin},
		{method: "POST", path: "/v1/pki/rotate", f: s.rotate(false), scope: access.Admin},
		{method: "DELETE", path: "/v1/pki/rotate", f: s.rotate(true), scope: access.Admin},
	}
}

// certificates is the coordinator's part in certificates; an open cluster has none.
func (s *server) certificates() (coord.Certificates, error) {
	if s.certs == nil {
		return nil, coord.ErrNoAuthority
	}
	return s.certs, nil
}

// readCertificates reads the JSON of a request about certificates. Unknown fields are refused: one
// that was misspelt, such as the name that a token is for, would let in more than was meant.
func readCertificates(w http.ResponseWriter, r *http.Request, to any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, certMax))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(err)
	case err != nil:
		return invalid("", "the body is not what this route takes: %.128v; allowed: a JSON object", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "the body goes on after its end; allowed: one JSON object")
	}
	return nil
}

// join signs the first certificate of a process with a token. The body has the secret in it, so it
// is neither logged nor part of an error.
func (s *server) join(w http.ResponseWriter, r *http.Request) error {
	var q pki.JoinRequest
	c, err := s.certificates()
	if err == nil {
		err = readCertificates(w, r, &q)
	}
	if err != nil {
		return err
	}
	out, err := c.Join(r.Context(), q)
	return answer200(w, out, err)
}

// renew signs the next certificate of the client, which shows its present one.
func (s *server) renew(w http.ResponseWriter, r *http.Request) error {
	var q pki.RenewRequest
	c, err := s.member(r)
	if err == nil {
		err = readCertificates(w, r, &q)
	}
	if err != nil {
		return err
	}
	out, err := c.Renew(r.Context(), r.TLS.PeerCertificates[0], q)
	return answer200(w, out, err)
}

// bundle answers any process of the cluster with whom to believe, also on a follower.
func (s *server) bundle(w http.ResponseWriter, r *http.Request) error {
	c, err := s.member(r)
	if err != nil {
		return err
	}
	return answer200(w, c.Bundle(r.Context()), nil)
}

// member wants a client that has shown a certificate. The handshake has verified it.
func (s *server) member(r *http.Request) (coord.Certificates, error) {
	c, err := s.certificates()
	if err != nil {
		return nil, err
	}
	// What a coordinator has sent on is somebody else's request, and shows the coordinator's.
	_, ok := pki.PeerID(r.TLS)
	if !ok || r.Context().Value(forwardedKey{}) != nil {
		return nil, &schema.Error{Status: http.StatusUnauthorized, Type: "invalid_request_error",
			Code: "unauthenticated", Message: "no certificate was shown; allowed: that of a process of " +
				"this cluster"}
	}
	return c, nil
}

// authority shows CAs, certificates, tokens and who was revoked; no secrets, but names of machines,
// so it is not for everybody.
func (s *server) authority(w http.ResponseWriter, r *http.Request) error {
	c, err := s.certificates()
	if err != nil {
		return err
	}
	out, err := c.Authority(r.Context())
	return answer200(w, out, err)
}

// newToken makes a token, which only this answer shows. Whoever has it joins as what it says: so
// the route is an administrator's.
func (s *server) newToken(w http.ResponseWriter, r *http.Request) error {
	var q schema.TokenRequest
	c, err := s.certificates()
	if err == nil {
		err = readCertificates(w, r, &q)
	}
	if err != nil {
		return err
	}
	out, err := c.NewToken(r.Context(), q)
	return answer200(w, out, err)
}

// voidToken takes a token back.
func (s *server) voidToken(w http.ResponseWriter, r *http.Request) error {
	c, err := s.certificates()
	if err != nil {
		return err
	}
	err = c.VoidToken(r.Context(), r.PathValue("id"))
	return answer200(w, struct{}{}, err)
}

// revoke refuses an identity, or with undo lets it in again. Both are repeatable: to revoke again
// changes nothing.
func (s *server) revoke(undo bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		q := schema.Denied{Role: r.PathValue("role"), Name: r.PathValue("name")}
		c, err := s.certificates()
		if err == nil && !undo {
			err = readCertificates(w, r, &q)
		}
		if err != nil {
			return err
		}
		return answer200(w, q, c.Revoke(r.Context(), q, undo))
	}
}

// rotate has another CA sign, or with drop forgets the one before it. While the one before is
// needed, a second rotation is a 409.
func (s *server) rotate(drop bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := s.certificates()
		if err != nil {
			return err
		}
		out, err := c.Rotate(r.Context(), drop)
		return answer200(w, out, err)
	}
}

// answer200 answers with JSON, or returns the error.
func answer200(w http.ResponseWriter, v any, err error) error {
	if err == nil {
		reply(w, http.StatusOK, v)
	}
	return err
}

// refusedKinds are the errors of certificates, as kinds.
var refusedKinds = []errorKind{
	{coord.ErrToken, http.StatusForbidden, "token_refused"},
	{coord.ErrDenied, http.StatusForbidden, "revoked"},
	{coord.ErrNameTaken, http.StatusConflict, "name_taken"},
	{coord.ErrRotating, http.StatusConflict, "rotating"},
	{coord.ErrNoAuthority, http.StatusConflict, "no_authority"},
}
