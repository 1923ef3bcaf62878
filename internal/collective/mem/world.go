package mem

import (
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// Options are the limits of a world; zero fields take the defaults.
type Options struct {
	// PeerTimeout is the silence after which a rank that owes a message is lost; default 30 s.
	PeerTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.PeerTimeout <= 0 {
		o.PeerTimeout = 30 * time.Second
	}
	return o
}

// world is what the ranks of one attempt share. One mutex guards all of them, since a message is a
// change to both of its ranks. Contention does not matter, as the lock is held for a map access,
// and for a copy only where a sender's buffer is not aligned.
type world struct {
	opts  Options
	mu    sync.Mutex   // guards all transports of the world, too
	ranks []*Transport // nil: neither joined nor sent anything
	open  int          // ranks that have joined and are not closed
	leave func()       // called without mu when open falls to 0
}

func newWorld(n int, opts Options) *world {
	return &world{opts: opts.withDefaults(), ranks: make([]*Transport, n), leave: func() {}}
}

// NewWorld returns n joined transports, one for each rank. It panics where n is below 1. All of
// them share one process and one mutex, and have no hub behind them, so there are no attempts and
// nothing is ever stale.
func NewWorld(n int, opts Options) []collective.Transport {
	if n < 1 {
		panic(fmt.Sprintf("mem: a world of %d ranks", n))
	}
	w := newWorld(n, opts)
	ts := make([]collective.Transport, n)
	for r := range ts {
		ts[r], _ = w.join(r)
	}
	return ts
}

// join adds the rank. What peers have sent it before is in its inbox already.
func (w *world) join(rank int) (*Transport, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.transport(rank)
	if t.joined {
		return nil, fmt.Errorf("rank %d has joined before", rank)
	}
	t.joined = true
	w.open++
	return t, nil
}

// transport returns the rank's transport, which it makes on first use. The caller holds mu.
func (w *world) transport(rank int) *Transport {
	if w.ranks[rank] == nil {
		w.ranks[rank] = newTransport(w, rank)
	}
	return w.ranks[rank]
}

// fail ends the calls of every rank with err. Ranks that have not joined yet are included: joining
// a world that was replaced gives a transport whose every call returns err.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.ranks {
		w.transport(r).fail(err)
	}
}
