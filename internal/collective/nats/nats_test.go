package nats_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	natsio "github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/collective/transporttest"
	"github.com/longtake/longtake/internal/natsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t testing.TB, o natsd.Options) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t testing.TB, s *natsd.Server) *natsio.Conn {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func endpoint(t testing.TB, nc *natsio.Conn, node string, o nats.Options) *nats.Endpoint {
	t.Helper()
	e, err := nats.NewEndpoint(nc, node, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// options are small chunks, a window of a few of them, and short times where the suite asks so.
func options(o transporttest.Options) nats.Options {
	opts := nats.Options{ChunkBytes: transporttest.ChunkBytes,
		WindowBytes: 8 * transporttest.ChunkBytes, PeerTimeout: o.PeerTimeout}
	if o.PeerTimeout > 0 {
		opts.Linger = 10 * time.Millisecond
	}
	if o.Fault != nil {
		opts.Intercept = o.Fault.Intercept()
		opts.RetransmitAfter = 5 * time.Millisecond
		opts.RetransmitMax = 50 * time.Millisecond
		opts.KeepAlive = 20 * time.Millisecond
	}
	return opts
}

// worlds counts them, so that each has nodes of its own.
var worlds atomic.Uint64

// open puts rank r on a connection of servers[r modulo their number], one endpoint each.
func open(servers ...*natsd.Server) transporttest.Open { return openWith(noKey, servers...) }

// noKey leaves attempts unsealed.
func noKey(uint32) collective.Key { return collective.Key{} }

// keyOf is a key for each attempt.
func keyOf(attempt uint32) collective.Key {
	return collective.Key{byte(attempt), 'k'}
}

// openWith is open for attempts with keys.
func openWith(key func(uint32) collective.Key, servers ...*natsd.Server) transporttest.Open {
	return func(t testing.TB, n int, o transporttest.Options) transporttest.Join {
		nodes, world := make([]string, n), worlds.Add(1)
		eps := make([]*nats.Endpoint, n)
		for r := range nodes {
			nodes[r] = fmt.Sprintf("node-%d-%d", world, r)
			eps[r] = endpoint(t, connect(t, servers[r%len(servers)]), nodes[r], options(o))
		}
		return func(rank int, attempt uint32) (collective.Transport, error) {
			return eps[rank].Join("a job", attempt, rank, nodes, key(attempt))
		}
	}
}

func TestTransport(t *testing.T) {
	transporttest.Run(t, open(startServer(t, nats.ServerOptions("a"))))
}

func TestSealed(t *testing.T) {
	transporttest.Run(t, openWith(keyOf, startServer(t, nats.ServerOptions("a"))))
}

func TestFaulty(t *testing.T) {
	transporttest.RunFaulty(t, open(startServer(t, nats.ServerOptions("a"))), 2)
}

func TestFaultySealed(t *testing.T) {
	transporttest.RunFaulty(t, openWith(keyOf, startServer(t, nats.ServerOptions("a"))), 2)
}

// TestShared puts all ranks on one endpoint.
func TestShared(t *testing.T) {
	s := startServer(t, nats.ServerOptions("a"))
	transporttest.Run(t, func(t testing.TB, n int, o transporttest.Options) transporttest.Join {
		nodes := make([]string, n)
		node := fmt.Sprintf("node-%d", worlds.Add(1))
		for r := range nodes {
			nodes[r] = node
		}
		e := endpoint(t, connect(t, s), node, options(o))
		return func(rank int, attempt uint32) (collective.Transport, error) {
			return e.Join("a job", attempt, rank, nodes, collective.Key{})
		}
	})
}

// TestRoute joins two servers by a route and runs the suite across it.
func TestRoute(t *testing.T) {
	const loopback = "127.0.0.1:0"
	a := startServer(t, natsd.Options{Name: "a", RouteAddr: loopback})
	b := startServer(t, natsd.Options{Name: "b", RouteAddr: loopback,
		Routes: []string{a.RouteURL()}})
	transporttest.Run(t, open(a, b))
}
