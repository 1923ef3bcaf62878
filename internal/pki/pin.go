package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Found is what a process that has only a token learns from its first handshake: the cluster, and
// the CA that the token names.
type Found struct {
	Cluster string
	CA      *x509.Certificate
}

// Pin shakes hands with a coordinator at host:port and returns what it shows, if the CA that a
// token names stands for it. Nothing is sent: whoever answers without that CA learns nothing.
func Pin(ctx context.Context, addr string, t Token) (Found, error) {
	var found Found
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true} //nolint:gosec // below
	cfg.VerifyConnection = func(s tls.ConnectionState) (err error) {
		found, err = pinned(s.PeerCertificates, t, time.Now())
		return err
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		cfg.ServerName = host
	}

	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Found{}, err
	}
	return found, c.Close()
}

// pinned wants a chain of a coordinator to the CA of a token, which has to be in it: authorities of
// this package put it there. An attacker may show that CA, too, but has no key that it stands for.
func pinned(chain []*x509.Certificate, t Token, now time.Time) (Found, error) {
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
		return c.IsCA && Fingerprint(c) == t.CA
	})
	if at < 0 {
		return Found{}, &Refusal{Reason: UnknownCA, Err: errors.New("it does not show the CA that the " +
			"token names: this is another cluster, or the token is from before longtake pki rotate")}
	}

	// The chain counts as that of any peer does, with this CA alone.
	ca := chain[at]
	m := &material{roots: pool([]*x509.Certificate{ca})}
	id, err := m.judge(chain, now)
	if err == nil && id.Role != RoleCoordinator {
		err = refuse(WrongRole, id.URI(), "it is a %s; allowed here: a coordinator", id.Role)
	}
	if err != nil {
		return Found{}, fmt.Errorf("cannot believe the coordinator: %w", err)
	}
	return Found{id.Cluster, ca}, nil
}

// Client returns a configuration to ask coordinators of the cluster that was found, without a
// certificate of one's own. It believes the one CA, and coordinators of that cluster alone: a shard
// that answers at the address of one gets no token.
func (f Found) Client() *tls.Config {
	m := &material{id: ID{Cluster: f.Cluster}, roots: pool([]*x509.Certificate{f.CA})}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true} //nolint:gosec // below
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		id, err := m.judge(s.PeerCertificates, time.Now())
		if err == nil && (id.Cluster != f.Cluster || id.Role != RoleCoordinator) {
			err = refuse(WrongRole, id.URI(), "a coordinator of %s was expected", f.Cluster)
		}
		return err
	}
	return cfg
}
