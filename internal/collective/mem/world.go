package mem

import (
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// Options are the limits of a world; zero fields take the defaults.
type Options struct {
	PeerTimeout time.Duration // default 30 s
}

func (o Options) withDefaults() Options {
	if o.PeerTimeout <= 0 {
		o.PeerTimeout = 30 * time.Second
	}
	return o
}

// world is what the ranks of one attempt share.
type world struct {
	opts  Options
	mu    sync.Mutex
	ranks []*Transport // nil: not joined
	open  int          // ranks that have joined and were not closed
	leave func()       // called once open falls to 0, without mu
}

func newWorld(n int, opts Options) *world {
	return &world{opts: opts.withDefaults(), ranks: make([]*Transport, n), leave: func() {}}
}

// NewWorld returns n joined transports, one for each rank. It panics where n is below 1.
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

// join adds the rank. What peers sent before waits in its inbox.
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

// transport returns the rank's place, which it makes on first use. The caller holds mu.
func (w *world) transport(rank int) *Transport {
	if w.ranks[rank] == nil {
		w.ranks[rank] = newTransport(w, rank)
	}
	return w.ranks[rank]
}

// fail ends every rank with err.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.ranks {
		w.transport(r).fail(err)
	}
}
