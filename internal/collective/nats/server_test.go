package nats_test

import (
	"net"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
)

func TestServerTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for _, o := range []nats.ServerOptions{
		{Name: "a", ClientAddr: addr}, {Name: "a", RouteAddr: addr},
	} {
		s, err := nats.StartServer(o)
		if err == nil {
			s.Shutdown()
			t.Fatalf("%+v: started on a taken port", o)
		}
		if msg := err.Error(); !strings.Contains(msg, port) || strings.Contains(msg, "\n") {
			t.Errorf("%+v: %q does not name the port on one line", o, msg)
		}
	}
}

func TestServerRefuses(t *testing.T) {
	for _, o := range []nats.ServerOptions{
		{ClientAddr: "nowhere"}, {ClientAddr: "h:99999"}, {RouteAddr: "h:x"},
		{Routes: []string{"nats-route://h:1"}}, {RouteAddr: "127.0.0.1:0", Routes: []string{"h"}},
	} {
		if s, err := nats.StartServer(o); err == nil {
			s.Shutdown()
			t.Errorf("%+v: started", o)
		}
	}
}

func TestDial(t *testing.T) {
	s := startServer(t, nats.ServerOptions{Name: "a", ClientAddr: "127.0.0.1:0"})
	nc, err := nats.Dial(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
	if s.RouteURL() != "" {
		t.Errorf("route URL %q without routes", s.RouteURL())
	}
	inside := startServer(t, nats.ServerOptions{Name: "b", RouteAddr: "127.0.0.1:0"})
	if inside.ClientURL() != "" {
		t.Errorf("client URL %q of a server for in-process clients", inside.ClientURL())
	}
	if _, err := nats.Dial("nats://127.0.0.1:1"); err == nil {
		t.Error("dialled nothing")
	}
}

func TestJetStream(t *testing.T) {
	s := startServer(t, nats.ServerOptions{Name: "a", StoreDir: t.TempDir()})
	js, err := connect(t, s).JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(); err != nil {
		t.Error(err)
	}
}

// TestSetRoutes joins servers that did not know each other, and takes the route away again.
func TestSetRoutes(t *testing.T) {
	const addr = "127.0.0.1:0"
	a := startServer(t, nats.ServerOptions{Name: "a", RouteAddr: addr})
	b := startServer(t, nats.ServerOptions{Name: "b", RouteAddr: addr})
	if err := b.SetRoutes([]string{a.RouteURL()}); err != nil {
		t.Fatal(err)
	}
	nodes, done := []string{"x", "y"}, make(chan error, 2)
	for r, s := range []*nats.Server{a, b} {
		tr, err := endpoint(t, connect(t, s), nodes[r], nats.Options{}).Join("j", 1, r, nodes)
		if err != nil {
			t.Fatal(err)
		}
		g, err := collective.NewGroup(tr, []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- g.Barrier(t.Context(), collective.Tag{}) }()
	}
	for range nodes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := b.NumRoutes(); n != 1 {
		t.Errorf("%d routes", n)
	}
	if err := b.SetRoutes([]string{"::"}); err == nil {
		t.Error("a broken route was taken")
	}
	if err := b.SetRoutes(nil); err != nil {
		t.Error(err)
	}
}
