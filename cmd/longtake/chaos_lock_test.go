package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/keyfile"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// lock is what locks a cluster of processes: its CA, and the key of its first administrator. A nil
// lock leaves the cluster open, on loopback.
type lock struct {
	ca    *pkitest.Authority
	key   string
	admin string            // folder that the key was made in
	dirs  map[string]pki.ID // whose certificates are in which folder
	http  *http.Client      // believes the CA
	roots atomic.Pointer[x509.CertPool]
}

// certLife is how long certificates are valid: longer than any run.
const certLife = 48 * time.Hour

// newLock makes a CA.
func newLock(t *testing.T) *lock {
	l := &lock{ca: pkitest.NewTestAuthority(t, "chaos"), dirs: map[string]pki.ID{}}
	l.roots.Store(pkitest.Pool(l.ca))
	verify := func(s tls.ConnectionState) error {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: l.roots.Load(),
			DNSName: "127.0.0.1"})
		return err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: verify,
		InsecureSkipVerify: true} //nolint:gosec // verify does
	l.http = &http.Client{Timeout: chaosHTTP.Timeout,
		Transport: &http.Transport{TLSClientConfig: conf}}
	return l
}

// flags returns what a process of a locked cluster is started with besides, and none in an open
// one.
func (l *lock) flags(t *testing.T, role pki.Role, name string) []string {
	t.Helper()
	if l == nil {
		return nil
	}
	id := pki.ID{Cluster: l.ca.Cluster, Role: role, Name: name}
	dir := l.ca.Dir(t, role, name, certLife, hosts(id)...)
	l.dirs[dir] = id
	if role == pki.RoleCoordinator {
		l.admit(t, dir)
	}
	return []string{"--tls-dir", dir}
}

// admit puts what coordinators know of the administrator's key beside a certificate: whoever leads
// first takes it in.
func (l *lock) admit(t *testing.T, dir string) {
	t.Helper()
	var err error
	if l.admin != "" {
		err = keyfile.CopyAdmin(l.admin, dir)
	} else {
		var path string
		if path, err = keyfile.WriteAdmin(dir, time.Now()); err == nil {
			l.admin = dir
			l.key, err = keyfile.Read(path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hosts are those of a process's certificate.
func hosts(id pki.ID) []string {
	if id.Role == pki.RoleCoordinator {
		return []string{"127.0.0.1"}
	}
	return nil
}

// renew gives every process another certificate of the same CA.
func (l *lock) renew(t *testing.T, cas ...*x509.Certificate) {
	for dir, id := range l.dirs {
		l.ca.Write(t, dir, id, certLife, hosts(id)...)
		if err := pki.Write(dir, nil, nil, pki.EncodeCerts(append(cas, l.ca.Cert)...)); err != nil {
			t.Error(err)
		}
	}
}

// replace gives the cluster another CA: first all believe both, then all have certificates of the
// new one, then nobody believes the old one. A moment lies between, as between the steps of whoever
// does it.
func (l *lock) replace(t *testing.T, moment time.Duration) {
	old := l.ca
	l.ca = pkitest.NewTestAuthority(t, old.Cluster)
	both := pkitest.Pool(l.ca)
	both.AddCert(old.Cert)
	l.roots.Store(both)
	for dir := range l.dirs {
		if err := pki.Write(dir, nil, nil, pki.EncodeCerts(old.Cert, l.ca.Cert)); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(moment)
	l.renew(t, old.Cert)
	time.Sleep(moment)
	l.renew(t)
	l.roots.Store(pkitest.Pool(l.ca))
}

// url returns an address of the API as a URL.
func (l *lock) url(addr string) string {
	if l == nil {
		return "http://" + addr
	}
	return "https://" + addr
}

// client returns the HTTP client for the cluster's API.
func (l *lock) client() *http.Client {
	if l == nil {
		return chaosHTTP
	}
	return l.http
}

// bearer is how the client says who it is.
func (l *lock) bearer() string {
	if l == nil {
		return "Bearer " + localKey()
	}
	return "Bearer " + l.key
}

// stolen connects to a coordinator's NATS as whoever may write objects there: in an open cluster
// that is everybody, and in a locked one nobody but coordinators, so that a shard's certificate
// ought to be of no use.
func (l *lock) stolen(addr string) (*nats.Conn, error) {
	if l == nil {
		return nats.Connect("nats://" + addr)
	}
	for dir, id := range l.dirs {
		if id.Role != pki.RoleShard {
			continue
		}
		own, err := pki.Load(dir)
		if err != nil {
			return nil, err
		}
		return nats.Connect("nats://"+addr, nats.Secure(own.Client(pki.RoleCoordinator)),
			nats.CustomInboxPrefix("_INBOX."+id.Name))
	}
	return nil, nats.ErrNoServers
}
