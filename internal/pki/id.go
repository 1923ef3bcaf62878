package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Role says what a process is in its cluster.
type Role string

// The roles that a certificate may give.
const (
	RoleCoordinator Role = "coordinator"
	RoleShard       Role = "shard"
)

// scheme is that of the URIs in certificates. It is longtake's own, and not SPIFFE's: the names in
// it are parts of subjects and of paths, and stricter than SPIFFE's.
const scheme = "longtake"

// ParseRole reads a role as people write it. The error says which there are. Whether a certificate
// may have it is for the CA to say.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case RoleCoordinator, RoleShard:
		return r, nil
	}
	return "", fmt.Errorf("role is %.32q; allowed: %s, %s", s, RoleCoordinator, RoleShard)
}

// ID names a process: by its cluster, what it is there, and a name that is unique among its like.
// Cluster and name have 1 to 64 letters, digits, '-' and '_', so they can be parts of subjects.
type ID struct {
	Cluster string
	Role    Role
	Name    string
}

// URI is the ID as it is written in a certificate.
func (id ID) URI() string {
	return scheme + "://" + id.Cluster + "/" + string(id.Role) + "/" + id.Name
}

// String is the URI, so that an ID is logged as it is written in certificates.
func (id ID) String() string { return id.URI() }

// Check reports what is wrong with an ID.
func (id ID) Check() error {
	if err := job.CheckName("cluster", id.Cluster); err != nil {
		return err
	}
	if _, err := ParseRole(string(id.Role)); err != nil {
		return err
	}
	return job.CheckName("name", id.Name)
}

// ParseURI reads an ID from its URI, exactly as URI writes it: upper-case hosts, ports, queries and
// escapes are refused, so that an ID has one spelling.
func ParseURI(uri string) (ID, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return ID{}, fmt.Errorf("URI is %.200q; allowed: %s://CLUSTER/ROLE/NAME", uri, scheme)
	}
	id := ID{parts[0], Role(parts[1]), parts[2]}
	if err := id.Check(); err != nil {
		return ID{}, fmt.Errorf("URI is %.200q: %w", uri, err)
	}
	return id, nil
}

// ParseID reads the ID in a certificate, whether or not anyone has verified that. Exactly one URI
// of longtake's has to be there; others, such as SPIFFE's, may stand beside it.
func ParseID(cert *x509.Certificate) (ID, error) {
	id, err := onlyURI(cert.URIs)
	if err != nil {
		return ID{}, &Refusal{Reason: BadURI, Err: err}
	}
	return id, nil
}

// onlyURI returns the one ID among some URIs.
func onlyURI(uris []*url.URL) (ID, error) {
	var found []string
	for _, u := range uris {
		if u.Scheme == scheme {
			found = append(found, u.String())
		}
	}
	if len(found) != 1 {
		return ID{}, fmt.Errorf("it has %d URIs of longtake; allowed: one, %s://CLUSTER/ROLE/NAME",
			len(found), scheme)
	}
	return ParseURI(found[0])
}

// PeerID returns who is at the other end of a connection that uses a configuration of an Identity,
// which has verified it; false if the peer showed no certificate, as it may where they are
// optional. The state of any other connection proves nothing.
func PeerID(s *tls.ConnectionState) (ID, bool) {
	if s == nil || !s.HandshakeComplete || len(s.PeerCertificates) == 0 {
		return ID{}, false
	}
	id, err := ParseID(s.PeerCertificates[0])
	return id, err == nil
}
