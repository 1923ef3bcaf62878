// Package pkitest makes identities for tests.
package pkitest

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

// Authority is the CA of a cluster in a test.
type Authority struct {
	*pki.Authority
	Cluster string
}

// NewTestAuthority makes a CA.
func NewTestAuthority(t testing.TB, cluster string) *Authority {
	t.Helper()
	a, err := pki.NewAuthority(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{a, cluster}
}

// Dir returns a folder with an identity that is valid for life: what tls.dir is set to.
func (a *Authority) Dir(t testing.TB, role pki.Role, name string, life time.Duration,
	hosts ...string) string {
	t.Helper()
	dir := t.TempDir()
	a.Write(t, dir, pki.ID{Cluster: a.Cluster, Role: role, Name: name}, life, hosts...)
	return dir
}

// Write puts an identity into a folder, over one that is there.
func (a *Authority) Write(t testing.TB, dir string, id pki.ID, life time.Duration,
	hosts ...string) {
	t.Helper()
	key, cert := a.issue(t, id, life, hosts)
	if err := pki.Write(dir, key, cert, pki.EncodeCerts(a.Cert)); err != nil {
		t.Fatal(err)
	}
}

// issue makes a key and its certificate.
func (a *Authority) issue(t testing.TB, id pki.ID, life time.Duration, hosts []string) (key,
	cert []byte) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}

	// The same way that a process takes: what it may not ask for, a test cannot have either.
	csr, err := pki.NewRequest(id, hosts, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}

	if cert, err = a.Issue(r, time.Now(), life); err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// Identity returns the identity of a process. Hosts are for coordinators alone.
func (a *Authority) Identity(t testing.TB, role pki.Role, name string,
	hosts ...string) *pki.Identity {
	t.Helper()
	i, err := pki.Load(a.Dir(t, role, name, time.Hour, hosts...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// WriteLeaf puts a new key and certificate into a folder and leaves the CAs that it has.
func (a *Authority) WriteLeaf(t testing.TB, dir string, id pki.ID, life time.Duration) {
	t.Helper()
	cas, err := pki.ReadCAs(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, cert := a.issue(t, id, life, nil)
	if err := pki.Write(dir, key, cert, pki.EncodeCerts(cas...)); err != nil {
		t.Fatal(err)
	}
}

// Pool returns the CA as a client without a certificate has it.
func Pool(a *Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Cert)
	return p
}
