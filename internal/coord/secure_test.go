package coord

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// TestCoordinatorsOverMutualTLS runs three with certificates. While Raft's connections are in use,
// certificates and the CA are replaced, and nobody stops. Strangers are not talked to.
func TestCoordinatorsOverMutualTLS(t *testing.T) {
	ca, next := pkitest.NewTestAuthority(t, "demo"), pkitest.NewTestAuthority(t, "demo")
	all, addrs := three(t, func(c *Config) {
		c.Identity = ca.Identity(t, pki.RoleCoordinator, c.ID)
	})
	f := fakeOf(t, "gpu")
	f.join(all[0])
	if w := f.register(); !w.Accepted {
		t.Fatal(w)
	}
	create(t, all[0], request(1))
	f.told()

	// Another CA: each file by itself, as an operator or an agent would replace it.
	for _, c := range all {
		cas := pki.EncodeCerts(ca.Cert, next.Cert)
		if err := pki.Write(c.cfg.Identity.Dir(), nil, nil, cas); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range all {
		next.WriteLeaf(t, c.cfg.Identity.Dir(), c.cfg.Identity.ID(), time.Hour)
	}
	id := create(t, all[0], request(2))
	for _, c := range all {
		c.cons.transport.(*watched).CloseStreams() // what comes next needs new connections
		eventually(t, "all know the second job", func() bool { _, ok := record(c, id); return ok })
	}

	shard := next.Identity(t, pki.RoleShard, "gpu")
	other := pkitest.NewTestAuthority(t, "demo").Identity(t, pki.RoleCoordinator, "c1")
	for who, cfg := range map[string]*tls.Config{"a shard": shard.Client(),
		"nobody": {InsecureSkipVerify: true}, "a coordinator of another CA": other.Client()} {
		cfg.VerifyConnection = nil
		conn, err := tls.Dial("tcp", addrs[0], cfg)
		if err == nil { // TLS 1.3 tells a client at its first read
			conn.SetDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("%s is told %v", who, err)
		}
	}
	conn, err := net.Dial("tcp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	conn.Write([]byte("\x02plain Raft, as an older coordinator speaks it"))
	if data, _ := io.ReadAll(conn); strings.Contains(string(data), "c0") {
		t.Errorf("plain text is answered with %q", data)
	}
}

// TestRaftDialsTheOneItMeans has coordinator c2 listen where c1 is expected.
func TestRaftDialsTheOneItMeans(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "demo")
	own := ca.Identity(t, pki.RoleCoordinator, "c0")
	peer := ca.Identity(t, pki.RoleCoordinator, "c2")
	there, err := listenTLS("127.0.0.1:0", nil, peer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	go func() {
		for {
			c, err := there.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.Close()
		}
	}()

	addr := raft.ServerAddress(there.Listener.Addr().String())
	for meant, ok := range map[string]bool{"c1": false, "c2": true, "": true} {
		l := &tlsLayer{own: own, idAt: func(raft.ServerAddress) string { return meant }}
		c, err := l.Dial(addr, time.Minute)
		if ok != (err == nil) {
			t.Errorf("dialling %q: %v", meant, err)
		}
		if err == nil {
			c.Close()
		}
	}
	c := consensus{}
	at := c.idAt([]Peer{{ID: "c1", Raft: "h:1"}})
	if at("h:1") != "c1" || at("h:2") != "" {
		t.Error("peers of the settings are not known by their address")
	}
}

func TestACoordinatorHasItsOwnCertificate(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "demo")
	for _, i := range []*pki.Identity{ca.Identity(t, pki.RoleCoordinator, "c7"),
		ca.Identity(t, pki.RoleShard, "c1")} {
		cfg := testConfig(t.TempDir())
		cfg.ID, cfg.Identity = "c1", i
		c, err := Start(context.Background(), cfg)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "allowed: one of coordinator c1") {
			t.Errorf("%s: %v", i.ID(), err)
		}
	}
}
