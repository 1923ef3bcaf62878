package pki

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// Server returns a configuration for a port at which processes of these roles connect; they have to
// show a certificate of this cluster. Without roles certificates are optional, as on a port that
// people and their programs use, too; one that is shown has to be good all the same. The
// configuration may be used in both directions, as a NATS server does for its routes.
func (i *Identity) Server(roles ...Role) *tls.Config {
	c := i.config(i.wants(roles))
	if len(roles) > 0 {
		return c
	}

	// Browsers ask their users for a certificate, unless they are told that none would do.
	c.NextProtos = []string{"http/1.1"}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		return i.verify(s, i.wants(nil))
	}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := c.Clone()
		now.GetConfigForClient, now.ClientCAs = nil, i.current().roots
		return now, nil
	}

	return c
}

// Client returns a configuration to dial processes of these roles; without roles, any of the
// cluster. Their host names do not matter.
func (i *Identity) Client(roles ...Role) *tls.Config { return i.config(i.wants(roles)) }

// ClientOf returns a configuration to dial one process and no other.
func (i *Identity) ClientOf(id ID) *tls.Config {
	return i.config(func(peer ID) error {
		if peer != id {
			return refuse(WrongPeer, peer.URI(), "%s was expected", id)
		}
		return nil
	})
}

// config returns what all configurations share. Both directions are in each: who listens may have
// to dial with the same configuration. Errors of VerifyConnection end the handshake; the peer sees
// no more than an alert, the reason stays here.
func (i *Identity) config(want func(ID) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequestClientCert, // verify wants one, and counts those without
		InsecureSkipVerify:     true,                  //nolint:gosec // VerifyConnection verifies
		VerifyConnection:       func(s tls.ConnectionState) error { return i.verify(s, want) },
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &i.current().cert, nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &i.current().cert, nil
		},
	}
}

// wants returns what refuses peers of other roles; without roles, of none.
func (i *Identity) wants(roles []Role) func(ID) error {
	return func(peer ID) error {
		if len(roles) > 0 && !slices.Contains(roles, peer.Role) {
			return refuse(WrongRole, peer.URI(), "it is a %s; allowed here: %v", peer.Role, roles)
		}
		return nil
	}
}

// verify judges the peer of a handshake, against the CAs and the revocations of this moment. The
// order is from what proves something to what is only claimed: chain, cluster, revocation, then
// whether it is the peer that is wanted here.
func (i *Identity) verify(s tls.ConnectionState, want func(ID) error) error {
	m := i.current()
	id, err := m.judge(s.PeerCertificates, i.now())
	if err == nil && id.Cluster != m.id.Cluster {
		err = refuse(OtherCluster, id.URI(), "this cluster is %s", m.id.Cluster)
	}
	if err == nil && i.Denied(id) {
		err = refuse(Denied, id.URI(), "it was revoked")
	}
	if err == nil {
		err = want(id)
	}

	i.report(err)
	return err
}

// judge verifies the chain of a certificate and returns whose it is. The time is looked at first,
// as the library has one reason for certificates of the past and of the future.
func (m *material) judge(chain []*x509.Certificate, now time.Time) (ID, error) {
	if len(chain) == 0 {
		return ID{}, refuse(NoCertificate, "", "none was shown")
	}

	leaf, peer := chain[0], ""
	id, err := ParseID(leaf)
	if err == nil {
		peer = id.URI()
	}
	if at := leaf.NotAfter; now.After(at) {
		return ID{}, refuse(Expired, peer, "it ran out at %s", at.UTC().Format(time.RFC3339))
	}
	if at := leaf.NotBefore; now.Before(at) {
		return ID{}, refuse(NotYetValid, peer, "it is valid from %s, and it is %s here",
			at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}

	// Nothing that the certificate says counts before its chain is verified.
	opts := x509.VerifyOptions{Roots: m.roots, Intermediates: pool(chain[1:]), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if _, e := leaf.Verify(opts); e != nil {
		return ID{}, refuse(UnknownCA, peer, "no CA of this cluster stands for it: %w", e)
	}

	return id, err
}
