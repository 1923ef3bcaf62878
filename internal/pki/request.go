package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

const (
	requestMax = 16 << 10 // bytes of a request for a certificate
	hostsMax   = 32       // names and addresses in a certificate
	hostMax    = 253      // bytes of a name, as DNS has it
)

// Request is what a process asks to have signed: its key, who it is, and under which hosts clients
// reach it. ParseRequest makes it of bytes from outside, NewRequest of what the process knows.
type Request struct {
	ID     ID
	DNS    []string
	IPs    []net.IP
	Public crypto.PublicKey
}

// NewRequest returns a PEM request for a certificate, signed with the key (PEM). hosts are names
// and IP addresses under which HTTP clients reach a coordinator; shards have none.
func NewRequest(id ID, hosts []string, key []byte) ([]byte, error) {
	signer, err := parseKey(key)
	if err != nil {
		return nil, err
	}

	// The same checks as the authority's, so that what is wrong shows before a token is spent.
	r := &Request{ID: id}
	if err := r.addHosts(hosts); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.signed(signer)
}

// signed is the request as PEM, signed by its key: who sends it has that key.
func (r *Request) signed(signer crypto.Signer) ([]byte, error) {
	t := &x509.CertificateRequest{URIs: r.uris(), DNSNames: r.DNS, IPAddresses: r.IPs}

	// The signature's algorithm follows from the key.
	der, err := x509.CreateCertificateRequest(rand.Reader, t, signer)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// ParseRequest reads a PEM request. It wants the signature of the key that is in it, a key that TLS
// 1.3 takes everywhere, one URI of longtake, and no names of other kinds than that may have:
// hosts for a coordinator, which HTTP clients compare, and none for a shard, which could otherwise
// pose as a coordinator before them. Whether the sender may have what it asks for is up to the
// caller.
func ParseRequest(data []byte) (*Request, error) {
	if len(data) > requestMax {
		return nil, fmt.Errorf("csr has %d bytes; allowed: %d", len(data), requestMax)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("csr is not a PEM certificate request; allowed: one, and nothing else")
	}

	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("csr cannot be read: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("csr is not signed by its own key: %w", err)
	}

	// Who it is for. Subjects are ignored: nothing reads them.
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}

	id, err := onlyURI(csr.URIs)
	if err != nil {
		return nil, fmt.Errorf("csr cannot be used: %w", err)
	}
	if len(csr.URIs) != 1 || len(csr.EmailAddresses) != 0 {
		return nil, errors.New("csr has other names than hosts and one URI; allowed: only these")
	}
	r := &Request{ID: id, DNS: csr.DNSNames, IPs: csr.IPAddresses, Public: csr.PublicKey}
	return r, r.check()
}

// checkKey wants a key that all peers take.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("csr has a key of type %T; allowed: ECDSA on P-256 or P-384, Ed25519", key)
}

// check reports what no certificate may have, whoever asks for it.
func (r *Request) check() error {
	if err := r.ID.Check(); err != nil {
		return err
	}

	// Hosts are what HTTP clients judge coordinators by, so nobody else may have them.
	n := len(r.DNS) + len(r.IPs)
	if n > 0 && r.ID.Role != RoleCoordinator {
		return fmt.Errorf("hosts are %v %v; allowed for a %s: none", r.DNS, r.IPs, r.ID.Role)
	}
	if n > hostsMax {
		return fmt.Errorf("there are %d hosts; allowed: %d", n, hostsMax)
	}

	for _, name := range r.DNS {
		if !isHost(name) {
			return fmt.Errorf("host is %.64q; allowed: a name such as c1.example, or an IP address", name)
		}
	}

	return nil
}

// SameHosts reports whether a certificate has the hosts of the request.
func (r *Request) SameHosts(c *x509.Certificate) bool {
	return slices.Equal(r.DNS, c.DNSNames) && slices.EqualFunc(r.IPs, c.IPAddresses, net.IP.Equal)
}

// addHosts sorts hosts into names and addresses.
func (r *Request) addHosts(hosts []string) error {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			if ip.IsUnspecified() {
				return fmt.Errorf("host is %s; allowed: an address that clients dial", h)
			}
			r.IPs = append(r.IPs, ip)
			continue
		}
		r.DNS = append(r.DNS, h)
	}
	return nil
}

// uris is the ID as certificates have it.
func (r *Request) uris() []*url.URL {
	return []*url.URL{{Scheme: scheme, Host: r.ID.Cluster, Path: "/" + string(r.ID.Role) + "/" +
		r.ID.Name}}
}

// isHost reports whether clients can compare a name: labels of letters, digits and '-', of which
// the first may be "*".
func isHost(name string) bool {
	if name == "" || len(name) > hostMax {
		return false
	}
	labels := strings.Split(name, ".")
	if labels[0] == "*" && len(labels) > 2 {
		labels = labels[1:]
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// KeyHash names a public key: its SHA-256, in hex. A key stays that of its process over renewals.
func KeyHash(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("cannot name a key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// NewKey makes a private key, as PEM.
func NewKey() ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return encodeKey(key)
}
