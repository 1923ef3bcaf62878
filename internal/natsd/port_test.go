package natsd

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// TestNobodyUsesThePortThatNATSWants: a server for its own process has a client port, without which
// NATS opens no routes. It lets nobody in, whether the cluster is locked or not.
func TestNobodyUsesThePortThatNATSWants(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "c")
	shard := ca.Identity(t, pki.RoleShard, "s")
	for _, l := range []Lock{{}, {Identity: shard, Routes: pki.RoleShard}} {
		s, err := Start(Options{Name: "a", RouteAddr: "127.0.0.1:0", Lock: l})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
		url := "nats://" + s.current().Addr().String()
		for _, o := range [][]nats.Option{nil, {nats.UserInfo("u", "p")}, {nats.Secure(
			shard.Client())}} {
			if nc, err := nats.Connect(url, o...); err == nil {
				nc.Close()
				t.Errorf("a client of another process got in: %+v", o)
			}
		}
		nc, err := s.Connect()
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
}
