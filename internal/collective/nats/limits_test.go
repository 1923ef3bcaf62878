package nats_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
)

// pair is two endpoints on one server.
type pair struct {
	nodes []string
	eps   [2]*nats.Endpoint
}

func newPair(t *testing.T, o nats.Options) *pair {
	s := startServer(t, nats.ServerOptions("a"))
	p := &pair{nodes: []string{"x", "y"}}
	for r, n := range p.nodes {
		p.eps[r] = endpoint(t, connect(t, s), n, o)
	}
	return p
}

func (p *pair) join(t *testing.T, rank int, attempt uint32) collective.Transport {
	t.Helper()
	tr, err := p.eps[rank].Join("j", attempt, rank, p.nodes, collective.Key{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

func quick(o nats.Options) nats.Options {
	o.RetransmitAfter, o.RetransmitMax = 5*time.Millisecond, 50*time.Millisecond
	o.KeepAlive, o.Linger = 10*time.Millisecond, 100*time.Millisecond
	return o
}

// TestUnclaimed sends more than the receiver holds unasked, and asks for the last one first.
func TestUnclaimed(t *testing.T) {
	p := newPair(t, quick(nats.Options{ChunkBytes: 512, WindowBytes: 1024, UnclaimedBytes: 4000}))
	a, b := p.join(t, 0, 1), p.join(t, 1, 1)
	const messages = 8
	sent := make(chan error, messages)
	for i := range uint32(messages) {
		go func() {
			data := make([]byte, 1500)
			data[1499] = byte(i)
			sent <- a.Send(t.Context(), 1, collective.Tag{Op: i}, data)
		}()
	}
	for i := range uint32(messages) {
		op := messages - 1 - i
		got, err := b.Recv(t.Context(), 0, collective.Tag{Op: op})
		if err != nil || len(got) != 1500 || got[1499] != byte(op) {
			t.Fatalf("message %d: %d bytes, %v", op, len(got), err)
		}
	}
	for range messages {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

func TestBytesMax(t *testing.T) {
	p := newPair(t, nats.Options{ChunkBytes: 512, BytesMax: 1000})
	a := p.join(t, 0, 1)
	if err := a.Send(t.Context(), 1, collective.Tag{}, make([]byte, 1001)); err == nil {
		t.Error("a message above the limit was taken")
	}
}

func TestTagTwice(t *testing.T) {
	p := newPair(t, nats.Options{Linger: time.Millisecond})
	a, b := p.join(t, 0, 1), p.join(t, 1, 1)
	for range 2 {
		if err := a.Send(t.Context(), 1, collective.Tag{Op: 1}, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var peer *collective.PeerError
	_, err := b.Recv(t.Context(), 0, collective.Tag{Op: 2})
	if !errors.As(err, &peer) || peer.Rank != 0 {
		t.Errorf("got %v, want rank 0 to be named", err)
	}
}

// TestStaleSender leaves one rank in an older attempt: it is fenced, and counted.
func TestStaleSender(t *testing.T) {
	p := newPair(t, quick(nats.Options{}))
	old, b := p.join(t, 0, 1), p.join(t, 1, 2)
	_ = old.Send(t.Context(), 1, collective.Tag{}, []byte("late"))
	if _, err := old.Recv(t.Context(), 1, collective.Tag{}); !errors.Is(err, collective.ErrStale) {
		t.Errorf("the older attempt gets %v", err)
	}
	if b.Stats().Stale == 0 {
		t.Error("the older attempt's frames were not counted")
	}
	a := p.join(t, 0, 2)
	if err := a.Send(t.Context(), 1, collective.Tag{}, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Recv(t.Context(), 0, collective.Tag{}); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestLostBye loses every frame of a rank that closes: who talks to it is told again.
func TestLostBye(t *testing.T) {
	var deaf atomic.Bool
	p := newPair(t, quick(nats.Options{Intercept: func(f []byte) [][]byte {
		if deaf.Load() {
			return nil
		}
		return [][]byte{f}
	}}))
	a, b := p.join(t, 0, 1), p.join(t, 1, 1)
	deaf.Store(true)
	b.Close()
	deaf.Store(false)
	var peer *collective.PeerError
	if _, err := a.Recv(t.Context(), 1, collective.Tag{}); !errors.As(err, &peer) || peer.Rank != 1 {
		t.Errorf("got %v, want rank 1 to be named", err)
	}
}

// TestConnectionClosed takes the connection away under a waiting call.
func TestConnectionClosed(t *testing.T) {
	s := startServer(t, nats.ServerOptions("a"))
	nc := connect(t, s)
	e := endpoint(t, nc, "x", quick(nats.Options{}))
	tr, err := e.Join("j", 1, 0, []string{"x", "y"}, collective.Key{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := tr.Recv(t.Context(), 1, collective.Tag{})
		ended <- err
	}()
	nc.Close()
	if err := <-ended; !errors.Is(err, collective.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestJoinRefuses(t *testing.T) {
	p := newPair(t, nats.Options{})
	p.join(t, 0, 5)
	f := func(attempt uint32, rank int, nodes ...string) {
		t.Helper()
		if _, err := p.eps[0].Join("j", attempt, rank, nodes, collective.Key{}); err == nil {
			t.Errorf("attempt %d rank %d of %q could join", attempt, rank, nodes)
		}
	}
	f(5, 0, "x", "y")
	f(4, 0, "x", "y")
	f(6, 1, "x", "y")
	f(6, 2, "x", "y")
	f(6, -1, "x", "y")
	f(6, 0, "x", "y.z")
	f(6, 0, "x", "")
}

func TestEndpointRefuses(t *testing.T) {
	nc := connect(t, startServer(t, nats.ServerOptions("a")))
	for _, node := range []string{"", "a b", "a.b", "*", ">", "a\n"} {
		if _, err := nats.NewEndpoint(nc, node, nats.Options{}); err == nil {
			t.Errorf("%q could be a node", node)
		}
	}
	if _, err := nats.NewEndpoint(nc, "x", nats.Options{ChunkBytes: 1}); err == nil {
		t.Error("chunks of 1 byte were taken")
	}
}
