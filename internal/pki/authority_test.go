package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

func TestFoldersThatAreRefused(t *testing.T) {
	ca, other := pkitest.NewTestAuthority(t, "demo"), pkitest.NewTestAuthority(t, "demo")
	id := pki.ID{Cluster: "demo", Role: pki.RoleShard, Name: "gpu"}
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, want string, spoil func(dir string) error) {
		t.Run(name, func(t *testing.T) {
			dir := ca.Dir(t, pki.RoleShard, "gpu", time.Hour)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := pki.Load(dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	without := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	with := func(key, cas []byte) func(string) error {
		return func(dir string) error { return pki.Write(dir, key, nil, cas) }
	}

	refused("no key", "cannot read the key", without("tls.key"))
	refused("no certificate", "cannot read the certificate", without("tls.crt"))
	refused("no CA", "cannot read the CA", without("ca.crt"))
	refused("another key", "with the key", with(key, nil))
	refused("another CA", "no CA of this cluster", with(nil, pki.EncodeCerts(other.Cert)))
	refused("a key as CA", `"PRIVATE KEY"`, with(nil, key))
	refused("no PEM", "no certificate", with(nil, []byte("x")))
	refused("a leaf as CA", "is not one of a CA", func(dir string) error {
		leaf, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
		return errors.Join(err, pki.Write(dir, nil, nil, leaf))
	})
	refused("an open key", "mode is 0644", func(dir string) error {
		return os.Chmod(filepath.Join(dir, "tls.key"), 0o644)
	})
	refused("an old certificate", "gpu refused: it ran out at", func(dir string) error {
		ca.Write(t, dir, id, time.Nanosecond)
		return nil
	})

	dir := ca.Dir(t, pki.RoleShard, "gpu", time.Hour)
	if _, err := pki.LoadAs(dir, pki.RoleCoordinator); err == nil ||
		!strings.Contains(err.Error(), "this process is a coordinator") {
		t.Errorf("a shard's certificate gives a coordinator %v", err)
	}
	if _, err := pki.LoadAs(dir, pki.RoleShard); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, "tls.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	uris := func(paths ...string) (out []*url.URL) {
		for _, p := range paths {
			u, err := url.Parse("longtake://demo/" + p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, u)
		}
		return out
	}
	csr := func(c x509.CertificateRequest, key any) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &c, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	one := csr(x509.CertificateRequest{URIs: uris("shard/a")}, ec)
	if _, err := pki.ParseRequest(one); err != nil {
		t.Fatal(err)
	}
	tampered := bytes.Clone(one)
	block, _ := pem.Decode(tampered)
	block.Bytes[len(block.Bytes)-1] ^= 1

	refused := func(name, want string, data []byte) {
		t.Run(name, func(t *testing.T) {
			if _, err := pki.ParseRequest(data); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	refused("nothing", "PEM", nil)
	refused("large", "17408 bytes", make([]byte, 17<<10))
	refused("two", "one, and nothing else", append(bytes.Clone(one), one...))
	refused("tampered", "not signed by its own key", pem.EncodeToMemory(block))
	refused("RSA", "*rsa.PublicKey", csr(x509.CertificateRequest{URIs: uris("shard/a")}, r))
	refused("small curve", "allowed: ECDSA", csr(x509.CertificateRequest{URIs: uris("shard/a")}, p224))

	// What a request must not say, with a key that is good.
	for name, tc := range map[string]struct {
		want  string
		uris  []*url.URL
		hosts []string
		mail  []string
	}{
		"no URI":           {"0 URIs", nil, nil, nil},
		"two URIs":         {"2 URIs", uris("shard/a", "shard/b"), nil, nil},
		"another URI":      {"other names", append(uris("shard/a"), &url.URL{Scheme: "https"}), nil, nil},
		"another role":     {"allowed: coordinator, shard", uris("king/a"), nil, nil},
		"a query":          {"name", uris("shard/a?b"), nil, nil},
		"deep":             {"allowed: longtake://", uris("shard/a/b"), nil, nil},
		"mail":             {"other names", uris("shard/a"), nil, []string{"a@b.c"}},
		"hosts of a shard": {"allowed for a shard: none", uris("shard/a"), []string{"c1.example"}, nil},
		"a bad host":       {"host is", uris("coordinator/a"), []string{"a..b"}, nil},
		"many hosts": {"40 hosts", uris("coordinator/a"),
			slices.Repeat([]string{"c1.example"}, 40), nil},
	} {
		refused(name, tc.want, csr(x509.CertificateRequest{URIs: tc.uris, DNSNames: tc.hosts,
			EmailAddresses: tc.mail}, ec))
	}
}

func TestAuthorityIsWrittenAndRead(t *testing.T) {
	a, err := pki.NewAuthority("demo", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := pki.ParseAuthority(cert, key)
	if err != nil || pki.Fingerprint(a.Cert) != pki.Fingerprint(b.Cert) {
		t.Fatal(err)
	}
	_, other, err := pkitest.NewTestAuthority(t, "demo").Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.ParseAuthority(cert, other); err == nil ||
		strings.Contains(err.Error(), "BEGIN") {
		t.Errorf("another key gives %v", err)
	}

	// Nothing outlives its CA, and a CA that ran out signs nothing.
	leaf, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.NewRequest(pki.ID{Cluster: "demo", Role: pki.RoleShard, Name: "a"}, nil, leaf)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	end := a.Cert.NotAfter
	if data, err := a.Issue(r, end.Add(-time.Hour), 24*time.Hour); err != nil {
		t.Error(err)
	} else if block, _ := pem.Decode(data); block != nil {
		if c, err := x509.ParseCertificate(block.Bytes); err != nil || !c.NotAfter.Equal(end) {
			t.Errorf("it is valid until %v, the CA until %v; %v", c.NotAfter, end, err)
		}
	}
	if _, err := a.Issue(r, end, time.Hour); err == nil {
		t.Error("a CA that ran out signs")
	}
}

// FuzzRequest gives requests for certificates whatever bytes: none may panic, and what is taken
// names one process.
func FuzzRequest(f *testing.F) {
	key, _ := pki.NewKey()
	csr, _ := pki.NewRequest(pki.ID{Cluster: "demo", Role: pki.RoleCoordinator, Name: "c1"},
		[]string{"localhost", "127.0.0.1"}, key)
	f.Add(csr)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := pki.ParseRequest(data)
		if err != nil {
			return
		}
		if again, err := pki.ParseURI(r.ID.URI()); err != nil || again != r.ID {
			t.Errorf("%v is read as %v, %v", r.ID, again, err)
		}
	})
}
