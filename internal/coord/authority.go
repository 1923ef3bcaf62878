package coord

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
)

// Certificates lets processes join a locked cluster, renews their certificates, and changes whom
// the cluster believes. All but Bundle return a *NotLeaderError on a follower.
//
// The CA's key is in Raft, as with Docker's Swarm: so there is no machine without which nobody can
// join, and it is as safe as the disks of the coordinators, whose owners could steer the cluster
// anyway. Snapshots that operators save do not have it. A cluster whose certificates come from
// elsewhere has no key: what signs returns ErrNoAuthority then, and all else works.
type Certificates interface {
	// Join signs the first certificate of a process that has a token; ErrToken, ErrDenied,
	// ErrNameTaken or ErrNoAuthority.
	Join(ctx context.Context, q pki.JoinRequest) (pki.Certified, error)
	// Renew signs the next certificate of who shows a leaf.
	Renew(ctx context.Context, leaf *x509.Certificate, q pki.RenewRequest) (pki.Certified, error)
	// Bundle is what any process of the cluster may know.
	Bundle(ctx context.Context) pki.Bundle

	// NewToken makes a token, VoidToken takes one back.
	NewToken(ctx context.Context, q schema.TokenRequest) (schema.JoinToken, error)
	VoidToken(ctx context.Context, id string) error
	// Authority shows all of it but secrets.
	Authority(ctx context.Context) (schema.Authority, error)
	// Revoke refuses an identity from now on, or with undo takes that back.
	Revoke(ctx context.Context, d schema.Denied, undo bool) error
	// Rotate has a new CA sign; drop forgets the one before it.
	Rotate(ctx context.Context, drop bool) (schema.Authority, error)
}

var _ Certificates = (*Coordinator)(nil)

// How long a token may be used. Who installs a rack of machines needs some days, and a token that
// is forgotten in a script should not be of use for longer.
const (
	tokenLifeMost  = 7 * 24 * time.Hour
	tokenLifeLeast = time.Minute
)

// Denied reports whether an identity was revoked. Handshakes ask it; it never waits.
func (c *Coordinator) Denied(id pki.ID) bool {
	return c.authority.Load().IsDenied(id.Role, id.Name)
}

// signer returns the CA that signs, with its key, and what it was read from. It is read anew each
// time: a rotation may have come between.
func (c *Coordinator) signer() (*pki.Authority, *core.Authority, error) {
	a := c.authority.Load()
	ca, ok := a.Signer()
	if !ok || ca.Key == "" {
		return nil, nil, core.ErrNoAuthority
	}

	s, err := pki.ParseAuthority([]byte(ca.Cert), []byte(ca.Key))
	if err != nil {
		return nil, nil, err
	}

	// It is shown with each certificate that is signed.
	if ca.Cross != "" {
		cross, err := pki.ParseCAs([]byte(ca.Cross))
		if err != nil {
			return nil, nil, err
		}
		s.Cross = cross[0]
	}

	return s, a, nil
}

// sign checks what a process asks for and signs it, without noting it anywhere: the caller hands it
// out once that is done.
func (c *Coordinator) sign(csr string) (cert []byte, r *pki.Request, i core.Issue, err error) {
	if err := c.leading(); err != nil {
		return nil, nil, i, err
	}
	s, a, err := c.signer()
	if err != nil {
		return nil, nil, i, err
	}

	// The request is of a stranger, with a token or without.
	if r, err = pki.ParseRequest([]byte(csr)); err != nil {
		return nil, nil, i, &job.FieldError{Field: "csr", Value: err.Error(),
			Allowed: "a PEM certificate request of ECDSA or Ed25519 with a URI longtake://CLUSTER/ROLE/NAME"}
	}
	if r.ID.Cluster != a.Cluster {
		return nil, nil, i, &job.FieldError{Field: "csr", Value: r.ID.URI(),
			Allowed: "one of the cluster " + a.Cluster}
	}

	// The life is the same for all: the setting of the leader.
	now := c.cfg.Now()
	if cert, err = s.Issue(r, now, c.cfg.CertLife); err != nil {
		return nil, nil, i, err
	}

	key, err := pki.KeyHash(r.Public)
	i = core.Issue{Role: r.ID.Role, Name: r.ID.Name, Key: key, CA: hexOf(s.Cert),
		Until: now.Add(c.cfg.CertLife).UTC()}
	return cert, r, i, err
}

// Join implements Certificates. The token is looked up before anything is committed: whoever
// reaches the port may guess, and each guess would be an entry of the log.
func (c *Coordinator) Join(ctx context.Context, q pki.JoinRequest) (pki.Certified, error) {
	if err := c.leading(); err != nil {
		return pki.Certified{}, err
	}
	hash, known := pki.HashSecret(q.Secret), false
	if a := c.authority.Load(); a != nil {
		known = slices.ContainsFunc(a.Tokens, func(t core.JoinToken) bool { return t.Hash == hash })
	}

	// A cluster without a CA says that first: no token could be good there.
	if _, _, err := c.signer(); err != nil {
		return pki.Certified{}, err
	}
	if !known {
		return pki.Certified{}, fmt.Errorf("%w: it is not known, or it has expired", ErrToken)
	}

	cert, r, i, err := c.sign(q.CSR)
	if err != nil {
		return pki.Certified{}, err
	}
	if err := c.changeAuthority(ctx, core.AuthorityChange{Join: &i, Hash: hash}); err != nil {
		c.log.Warn("a process was not let join", "id", r.ID.URI(), "error", err)
		return pki.Certified{}, err
	}
	c.log.Info("a process joined", "id", r.ID.URI(), "until", i.Until)
	return pki.Certified{Certificate: string(cert), Bundle: c.Bundle(ctx)}, nil
}

// Renew implements Certificates. What changes is the time: key, name and hosts are those of the
// certificate that is shown.
func (c *Coordinator) Renew(ctx context.Context, leaf *x509.Certificate, q pki.RenewRequest,
) (pki.Certified, error) {
	cert, r, i, err := c.sign(q.CSR)
	if err != nil {
		return pki.Certified{}, err
	}
	id, err := pki.ParseID(leaf)
	if err != nil {
		return pki.Certified{}, err
	}

	// By its key a certificate is told from one of the same name that somebody else was given.
	key, err := pki.KeyHash(leaf.PublicKey)
	if err != nil {
		return pki.Certified{}, err
	}

	if id != r.ID || key != i.Key || !r.SameHosts(leaf) {
		return pki.Certified{}, &job.FieldError{Field: "csr", Value: r.ID.URI(),
			Allowed: "the key, the URI and the hosts of the certificate that is to be renewed, " + id.URI()}
	}
	if err := c.changeAuthority(ctx, core.AuthorityChange{Renew: &i}); err != nil {
		c.log.Warn("a certificate was not renewed", "id", id.URI(), "error", err)
		return pki.Certified{}, err
	}
	c.log.Info("a certificate was renewed", "id", id.URI(), "until", i.Until)
	return pki.Certified{Certificate: string(cert), Bundle: c.Bundle(ctx)}, nil
}

// changeAuthority commits a change. The error is the machine's own where the change is refused, the
// same on every coordinator, or says that this one does not lead.
func (c *Coordinator) changeAuthority(ctx context.Context, change core.AuthorityChange) error {
	return doErr(ctx, c, func() error { return c.core.ChangeAuthority(change) })
}

// Bundle implements Certificates. A follower answers from its own copy, which may be some
// milliseconds old: processes ask again a minute later.
func (c *Coordinator) Bundle(context.Context) pki.Bundle {
	b := pki.Bundle{Denied: []string{}, Control: c.control()}
	for _, u := range c.addresses() {
		if u != "" {
			b.Coordinators = append(b.Coordinators, u)
		}
	}
	slices.Sort(b.Coordinators) // so that the same answer is the same bytes

	// Without an authority that is all: who is believed is in the folders.
	a := c.authority.Load()
	if a == nil {
		return b
	}

	for _, ca := range a.CAs {
		b.CAs += ca.Cert
	}

	for _, d := range a.Denied {
		b.Denied = append(b.Denied, pki.ID{Cluster: a.Cluster, Role: d.Role, Name: d.Name}.URI())
	}
	if ca, ok := a.Signer(); ok {
		b.Signer = hexOfPEM(ca.Cert)
	}
	return b
}

// control lists the NATS servers that shards may dial, this one's first. One that listens on all
// interfaces is reached at the host of this coordinator's API.
func (c *Coordinator) control() string {
	own := c.broker.ClientURL()
	host, _, err := net.SplitHostPort(c.cfg.NATS.Listen)
	u, uerr := url.Parse(own)
	api, aerr := url.Parse(c.cfg.HTTP)
	if ip := net.ParseIP(host); err == nil && uerr == nil && aerr == nil && own != "" &&
		(host == "" || ip != nil && ip.IsUnspecified()) {
		u.Host = net.JoinHostPort(api.Hostname(), u.Port())
		own = u.String()
	}

	urls := []string{own}
	for _, s := range c.broker.conn.DiscoveredServers() {
		if !slices.Contains(urls, s) {
			urls = append(urls, s)
		}
	}

	return strings.Join(urls, ",")
}

// NewToken implements Certificates.
func (c *Coordinator) NewToken(ctx context.Context, q schema.TokenRequest) (schema.JoinToken,
	error) {
	none := schema.JoinToken{}
	role, err := pki.ParseRole(q.Role)
	if err != nil {
		return none, &job.FieldError{Field: "role", Value: fmt.Sprintf("%.32q", q.Role),
			Allowed: "coordinator, shard"}
	}

	ttl := time.Duration(q.TTL * float64(time.Second))
	if ttl < tokenLifeLeast || ttl > tokenLifeMost {
		return none, &job.FieldError{Field: "ttl", Value: fmt.Sprintf("%v", ttl),
			Allowed: fmt.Sprintf("%v to %v", tokenLifeLeast, tokenLifeMost)}
	}
	if q.Name != "" {
		if err := job.CheckName("name", q.Name); err != nil {
			return none, err
		}
	}

	// Its text is in this answer and nowhere else; the log gets the hash of the secret.
	if err := c.leading(); err != nil {
		return none, err
	}
	s, _, err := c.signer()
	if err != nil {
		return none, err
	}
	text, err := pki.NewToken(pki.Fingerprint(s.Cert))
	if err != nil {
		return none, err
	}

	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return none, fmt.Errorf("cannot name a token: %w", err)
	}
	t := core.JoinToken{Name: "t-" + hex.EncodeToString(id), Hash: pki.HashSecret(text.Secret()),
		Role: role, For: q.Name, Expires: c.cfg.Now().Add(ttl).UTC().Round(0)}
	if err := c.changeAuthority(ctx, core.AuthorityChange{Token: &t}); err != nil {
		return none, err
	}
	out := tokenOf(t)
	out.Text = text.Text()
	return out, nil
}

// tokenOf shows a token without its text, which nobody has but who asked for it.
func tokenOf(t core.JoinToken) schema.JoinToken {
	return schema.JoinToken{ID: t.Name, Role: string(t.Role), Name: t.For, Expires: t.Expires,
		Used: t.Used, By: t.By}
}
