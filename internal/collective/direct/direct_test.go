package direct_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/collective/transporttest"
	"github.com/longtake/longtake/internal/natsd"
)

// worlds counts them, so that each has nodes of its own.
var worlds atomic.Uint64

// process is what stands for a process: its end of direct connections, and its NATS endpoint.
type process struct {
	node     *direct.Node // nil: it has none
	endpoint *nats.Endpoint
}

func newProcess(t testing.TB, s *natsd.Server, name string, d *direct.Options,
	o nats.Options) *process {
	t.Helper()
	p := &process{}
	var err error
	if d != nil {
		if p.node, err = direct.Listen(*d); err != nil {
			t.Fatal(err)
		}
		o.Direct = p.node
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if p.endpoint, err = nats.NewEndpoint(nc, name, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.endpoint.Close(); err != nil {
			t.Error(err)
		}
		if p.node != nil {
			p.node.Close()
		}
		nc.Close()
	})
	return p
}

func startServer(t testing.TB) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(nats.ServerOptions("a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// quick are short times, small chunks and a window of a few of them.
func quick(o transporttest.Options) nats.Options {
	opts := nats.Options{ChunkBytes: transporttest.ChunkBytes, PeerTimeout: o.PeerTimeout,
		WindowBytes: 8 * transporttest.ChunkBytes, RetransmitAfter: 5 * time.Millisecond,
		RetransmitMax: 20 * time.Millisecond, KeepAlive: 20 * time.Millisecond}
	if o.PeerTimeout > 0 {
		opts.Linger = 10 * time.Millisecond
	}
	return opts
}

// noChunks loses every chunk and acknowledgement that takes NATS, so that only direct connections
// can deliver anything.
func noChunks(frame []byte) [][]byte {
	if frame[5] == 1 || frame[5] == 2 {
		return nil
	}
	return [][]byte{frame}
}

// open makes a process for each rank. Those for which offers is true have direct connections; where
// all have, chunks over NATS are lost.
func open(s *natsd.Server, offers func(rank int) bool) transporttest.Open {
	return openWith(func(uint32) collective.Key { return collective.Key{} }, s, offers)
}

// keyOf is a key for each attempt.
func keyOf(attempt uint32) collective.Key {
	return collective.Key{byte(attempt), 'k'}
}

// openWith is open for attempts with keys.
func openWith(key func(attempt uint32) collective.Key, s *natsd.Server,
	offers func(rank int) bool) transporttest.Open {
	return func(t testing.TB, n int, o transporttest.Options) transporttest.Join {
		nodes, world := make([]string, n), worlds.Add(1)
		all := true
		for r := range nodes {
			nodes[r] = fmt.Sprintf("node-%d-%d", world, r)
			all = all && offers(r)
		}
		ps := make([]*process, n)
		for r := range nodes {
			opts := quick(o)
			if all {
				opts.Intercept = noChunks
			}
			var d *direct.Options
			if offers(r) {
				d = &direct.Options{Connections: 2, RetryMin: time.Millisecond,
					RetryMax: 10 * time.Millisecond}
				if o.Fault != nil {
					d.Wrap = o.Fault.WrapConn()
					d.Timeout, d.HandshakeTimeout = 40*time.Millisecond, 20*time.Millisecond
				}
			}
			ps[r] = newProcess(t, s, nodes[r], d, opts)
		}
		return func(rank int, attempt uint32) (collective.Transport, error) {
			return ps[rank].endpoint.Join("a job", attempt, rank, nodes, key(attempt))
		}
	}
}

func everyone(int) bool { return true }

func TestTransport(t *testing.T) { transporttest.Run(t, open(startServer(t), everyone)) }

func TestSealed(t *testing.T) {
	transporttest.Run(t, openWith(keyOf, startServer(t), everyone))
}

// TestFaultySealed is TestFaulty with keys.
func TestFaultySealed(t *testing.T) {
	transporttest.RunFaulty(t, openWith(keyOf, startServer(t), everyone), 1)
}

// TestFaulty cuts connections every few writes. One seed: it waits for many handshakes.
func TestFaulty(t *testing.T) { transporttest.RunFaulty(t, open(startServer(t), everyone), 1) }

// TestMixed leaves every third rank on NATS alone, in attempts with keys.
func TestMixed(t *testing.T) {
	most := func(rank int) bool { return rank%3 != 2 }
	transporttest.Run(t, openWith(keyOf, startServer(t), most))
}
