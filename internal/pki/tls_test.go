package pki_test

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// shake connects two configurations and returns what the server and the client made of it.
func shake(t *testing.T, server, client *tls.Config) (s, c tls.ConnectionState, serr, cerr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	a.SetDeadline(time.Now().Add(time.Minute))
	b.SetDeadline(time.Now().Add(time.Minute))

	done := make(chan error, 1)
	dialled := tls.Client(b, client)
	go func() {
		err := dialled.Handshake()
		if err == nil { // the server's verdict on the client comes with what is read next
			_, err = dialled.Read(make([]byte, 1))
		}
		b.Close()
		done <- err
	}()
	accepted := tls.Server(a, server)
	if serr = accepted.Handshake(); serr == nil {
		accepted.Write([]byte{1})
	}
	a.Close()
	cerr = <-done
	return accepted.ConnectionState(), dialled.ConnectionState(), serr, cerr
}

// reason returns why a peer was refused, "" if it was not.
func reason(err error) pki.Reason {
	var r *pki.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestPeersKnowEachOther(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "demo")
	c1 := ca.Identity(t, pki.RoleCoordinator, "c1", "localhost", "127.0.0.1")
	gpu := ca.Identity(t, pki.RoleShard, "gpu-1")

	s, c, serr, cerr := shake(t, c1.Server(pki.RoleShard), gpu.Client(pki.RoleCoordinator))
	if serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	if id, ok := pki.PeerID(&s); !ok || id != gpu.ID() {
		t.Errorf("the coordinator sees %v, %v", id, ok)
	}
	if id, ok := pki.PeerID(&c); !ok || id != c1.ID() {
		t.Errorf("the shard sees %v, %v", id, ok)
	}
	if s.Version != tls.VersionTLS13 || s.DidResume {
		t.Errorf("version %x, resumed %v", s.Version, s.DidResume)
	}

	// Where certificates are optional, a client without one is nobody, and one with one is itself.
	// Such a client compares the host.
	plain := &tls.Config{RootCAs: pkitest.Pool(ca), ServerName: "localhost"}
	if s, _, serr, cerr = shake(t, c1.Server(), plain); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	if id, ok := pki.PeerID(&s); ok {
		t.Errorf("a client without a certificate is %v", id)
	}
	if s, _, serr, cerr = shake(t, c1.Server(), gpu.ClientOf(c1.ID())); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	if id, ok := pki.PeerID(&s); !ok || id != gpu.ID() {
		t.Errorf("a client with a certificate is %v, %v", id, ok)
	}
}

func TestPeersAreRefused(t *testing.T) {
	ca, other := pkitest.NewTestAuthority(t, "demo"), pkitest.NewTestAuthority(t, "demo")
	foreign := &pkitest.Authority{Authority: ca.Authority, Cluster: "other"}
	c1 := ca.Identity(t, pki.RoleCoordinator, "c1")
	c2, gpu := ca.Identity(t, pki.RoleCoordinator, "c2"), ca.Identity(t, pki.RoleShard, "gpu")
	forged := other.Identity(t, pki.RoleShard, "gpu")
	stranger := foreign.Identity(t, pki.RoleShard, "gpu")
	bad := ca.Identity(t, pki.RoleShard, "bad")
	c1.Deny(func(id pki.ID) bool { return id.Name == "bad" })
	var seen []pki.Reason
	c1.OnRefusal(func(r *pki.Refusal) { seen = append(seen, r.Reason) })

	nobody := &tls.Config{InsecureSkipVerify: true}
	for name, tc := range map[string]struct {
		server, client *tls.Config
		want           pki.Reason
	}{
		"without a certificate":   {c1.Server(pki.RoleShard), nobody, pki.NoCertificate},
		"of another CA":           {c1.Server(pki.RoleShard), forged.Client(), pki.UnknownCA},
		"of another cluster":      {c1.Server(pki.RoleShard), stranger.Client(), pki.OtherCluster},
		"of another role":         {c1.Server(pki.RoleShard), c2.Client(), pki.WrongRole},
		"that was revoked":        {c1.Server(), bad.Client(), pki.Denied},
		"of another CA, optional": {c1.Server(), forged.Client(), pki.UnknownCA},
	} {
		t.Run("client "+name, func(t *testing.T) {
			seen = nil
			insecure := tc.client.Clone() // so that the client has no objection of its own
			insecure.VerifyConnection = nil
			_, _, serr, cerr := shake(t, tc.server, insecure)
			if reason(serr) != tc.want || cerr == nil {
				t.Errorf("got %v and %v, want %s", serr, cerr, tc.want)
			}
			if len(seen) != 1 || seen[0] != tc.want {
				t.Errorf("counted %v", seen)
			}
		})
	}

	for name, tc := range map[string]struct {
		server, client *tls.Config
		want           pki.Reason
	}{
		"of another role":  {gpu.Server(), c1.Client(pki.RoleCoordinator), pki.WrongRole},
		"of another name":  {c2.Server(), gpu.ClientOf(c1.ID()), pki.WrongPeer},
		"of another CA":    {forged.Server(), c1.Client(), pki.UnknownCA},
		"that was revoked": {bad.Server(), c1.Client(), pki.Denied},
	} {
		t.Run("server "+name, func(t *testing.T) {
			_, _, serr, cerr := shake(t, tc.server, tc.client)
			if reason(cerr) != tc.want || serr == nil {
				t.Errorf("got %v and %v, want %s", serr, cerr, tc.want)
			}
		})
	}
	// TLS 1.2 is refused, whatever the certificate.
	old := gpu.Client()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, serr, _ := shake(t, c1.Server(pki.RoleShard), old); serr == nil {
		t.Error("TLS 1.2 is taken")
	}
}

func TestIdentityFollowsItsFolder(t *testing.T) {
	ca, next := pkitest.NewTestAuthority(t, "demo"), pkitest.NewTestAuthority(t, "demo")
	dir := ca.Dir(t, pki.RoleShard, "gpu", time.Hour)
	gpu, err := pki.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c1 := ca.Identity(t, pki.RoleCoordinator, "c1")
	server, client := c1.Server(pki.RoleShard), gpu.Client(pki.RoleCoordinator)
	first := gpu.Leaf().SerialNumber

	// A renewed certificate is in use with the next handshake, of configurations made before.
	ca.Write(t, dir, gpu.ID(), time.Hour)
	s, _, serr, cerr := shake(t, server, client)
	if serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	n := s.PeerCertificates[0].SerialNumber
	if n.Cmp(first) == 0 || n.Cmp(gpu.Leaf().SerialNumber) != 0 {
		t.Errorf("the certificate %x was shown, at first it was %x", n, first)
	}

	// A key that does not fit, or the certificate of another process, changes nothing.
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	good := gpu.Leaf().SerialNumber
	if err := pki.Write(dir, key, nil, nil); err != nil {
		t.Fatal(err)
	}
	if gpu.Leaf().SerialNumber.Cmp(good) != 0 {
		t.Error("a key without its certificate was taken")
	}
	ca.Write(t, dir, pki.ID{Cluster: "demo", Role: pki.RoleShard, Name: "another"}, time.Hour)
	if gpu.ID().Name != "gpu" {
		t.Errorf("the process became %s", gpu.ID())
	}

	// A new CA: first both count, then each process is renewed, then the old one is gone.
	both := pki.EncodeCerts(ca.Cert, next.Cert)
	for _, d := range []string{dir, c1.Dir()} {
		if err := pki.Write(d, nil, nil, both); err != nil {
			t.Fatal(err)
		}
	}
	next.WriteLeaf(t, dir, gpu.ID(), time.Hour)
	if _, _, serr, cerr = shake(t, server, client); serr != nil || cerr != nil {
		t.Fatal("with certificates of both CAs:", serr, cerr)
	}
	next.Write(t, c1.Dir(), c1.ID(), time.Hour)
	next.Write(t, dir, gpu.ID(), time.Hour)
	if _, _, serr, cerr = shake(t, server, client); serr != nil || cerr != nil {
		t.Fatal("with the new CA alone:", serr, cerr)
	}
	late := ca.Identity(t, pki.RoleShard, "late").Client()
	late.VerifyConnection = nil
	if _, _, serr, _ = shake(t, server, late); reason(serr) != pki.UnknownCA {
		t.Errorf("a certificate of the old CA gives %v", serr)
	}
}
