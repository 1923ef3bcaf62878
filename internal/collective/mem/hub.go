package mem

import (
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/collective"
)

// Hub lets the shards of one process meet by job and attempt. The zero value is ready to use, with
// the default options, from several goroutines. One Hub serves one cluster: the shards of a process
// share it, and jobs in it do not see each other.
type Hub struct {
	Options Options // set before the first Join

	// mu guards jobs alone. It is never taken while a world's mutex is held: world.leave, which
	// calls back into the hub, runs without it.
	mu sync.Mutex
	// By the job's name; nil until the first Join.
	jobs map[string]*latest
}

// latest is the newest attempt of a job and its world. Older worlds need no place: their ranks hold
// them until they are closed.
type latest struct {
	attempt uint32
	world   *world
}

// Join returns the transport of a rank of the attempt, which has size ranks. A newer attempt ends
// the older one: its calls return collective.ErrStale, as does joining it from then on. The hub
// forgets a job once all ranks that have joined are closed. Any other error means that the rank is
// out of range or taken, or that the ranks disagree about the size.
func (h *Hub) Join(job string, attempt uint32, rank, size int) (collective.Transport, error) {
	if rank < 0 || rank >= size {
		return nil, fmt.Errorf("cannot join job %q: rank %d is not in 0..%d", job, rank, size-1)
	}
	w, err := h.world(job, attempt, size)
	if err != nil {
		return nil, fmt.Errorf("cannot join job %q attempt %d: %w", job, attempt, err)
	}
	t, err := w.join(rank)
	if err != nil {
		return nil, fmt.Errorf("cannot join job %q attempt %d: %w", job, attempt, err)
	}
	return t, nil
}

// world returns the attempt's world, which the first rank to join makes.
func (h *Hub) world(job string, attempt uint32, size int) (*world, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.jobs[job]
	if m != nil && attempt < m.attempt {
		return nil, collective.ErrStale
	}

	if m == nil || attempt > m.attempt {
		if m != nil {
			m.world.fail(collective.ErrStale)
		}
		m = h.open(job, attempt, size)
	}

	if n := len(m.world.ranks); n != size {
		return nil, fmt.Errorf("it has %d ranks, not %d", n, size)
	}
	return m.world, nil
}

// open makes the world of a job's attempt. The caller holds mu.
func (h *Hub) open(job string, attempt uint32, size int) *latest {
	m := &latest{attempt: attempt, world: newWorld(size, h.Options)}
	m.world.leave = func() { h.forget(job, m) }
	if h.jobs == nil {
		h.jobs = map[string]*latest{}
	}
	h.jobs[job] = m
	return m
}

// forget drops a job whose ranks are all closed, unless a newer attempt has begun.
func (h *Hub) forget(job string, m *latest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs[job] == m {
		delete(h.jobs, job)
	}
}
