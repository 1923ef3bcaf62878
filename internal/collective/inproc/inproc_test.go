package inproc_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/inproc"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/collective/transporttest"
	"github.com/longtake/longtake/internal/natsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// worlds counts them, so that each has nodes of its own.
var worlds atomic.Uint64

// hosts puts ranks on endpoints of their own, so many of them in what passes for one process.
func hosts(t *testing.T, each int) (transporttest.Open, *[]*inproc.Handoff) {
	s, err := natsd.Start(nats.ServerOptions("a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	var handoffs []*inproc.Handoff
	return func(t testing.TB, n int, o transporttest.Options) transporttest.Join {
		nodes, eps, world := make([]string, n), make([]*nats.Endpoint, n), worlds.Add(1)
		own := make([]inproc.Handoff, n)
		for r := range nodes {
			nodes[r] = fmt.Sprintf("node-%d-%d", world, r)
			eps[r] = endpoint(t, s, nodes[r], o)
			handoffs = append(handoffs, &own[r])
		}
		return func(rank int, attempt uint32) (collective.Transport, error) {
			tr, err := eps[rank].Join("a job", attempt, rank, nodes, collective.Key{})
			if err != nil {
				return nil, err
			}
			flags := make([]bool, n)
			for r := range flags {
				flags[r] = r/each == rank/each
			}
			return inproc.New(tr, &own[rank/each], fmt.Sprint(attempt), flags), nil
		}
	}, &handoffs
}

func endpoint(t testing.TB, s *natsd.Server, node string, o transporttest.Options) *nats.Endpoint {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	opts := nats.Options{ChunkBytes: transporttest.ChunkBytes, PeerTimeout: o.PeerTimeout,
		WindowBytes: 8 * transporttest.ChunkBytes}
	if o.PeerTimeout > 0 {
		opts.Linger = 10 * time.Millisecond
	}
	e, err := nats.NewEndpoint(nc, node, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		nc.Close()
	})
	return e
}

func TestTransport(t *testing.T) {
	for _, each := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d of a process", each), func(t *testing.T) {
			open, handoffs := hosts(t, each)
			transporttest.Run(t, open)
			for _, s := range *handoffs {
				if n := s.Attempts(); n != 0 {
					t.Errorf("attempts that are over have left something: %d", n)
				}
			}
		})
	}
}

// TestWhoIsNear also wants what is near to be handed over itself.
func TestWhoIsNear(t *testing.T) {
	open, _ := hosts(t, 2)
	join := open(t, 3, transporttest.Options{})
	var ranks []collective.Transport
	for r := range 3 {
		tr, err := join(r, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		ranks = append(ranks, tr)
	}
	for r, want := range []bool{false, true, false} {
		if got := collective.SameProcess(ranks[0], r); got != want {
			t.Errorf("rank %d is near to rank 0: %v", r, got)
		}
	}
	data := collective.NewBuffer(100)
	for to, same := range map[int]bool{1: true, 2: false} {
		if err := ranks[0].Send(t.Context(), to, collective.Tag{}, data); err != nil {
			t.Fatal(err)
		}
		got, err := ranks[to].Recv(t.Context(), 0, collective.Tag{})
		if err != nil || len(got) != 100 || (&got[0] == &data[0]) != same {
			t.Errorf("rank %d has %d bytes, %v; want the same memory: %v", to, len(got), err, same)
		}
	}
}
