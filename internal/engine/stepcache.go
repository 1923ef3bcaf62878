package engine

import (
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// StepCache keeps the velocities of windows that a node has computed in the step under way. If the
// attempt is lost, the next one begins with that step and takes them from the nodes that are left,
// so that only the windows of the lost node are computed again.
//
// It belongs to the node, not to a rank: it outlives attempts. The zero value is empty. Its methods
// may be called from any goroutine.
type StepCache struct {
	mu      sync.Mutex
	job     job.ID
	step    int
	entries []cachedVelocity
}

// cachedVelocity is the velocity of some tokens in a window [tokens, token width].
type cachedVelocity struct {
	window int
	tokens partition.Range
	values []float32
}

// add keeps a copy of a velocity, unless it is there already, and forgets those of other steps and
// jobs.
func (c *StepCache) add(id job.ID, step int, v cachedVelocity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.job != id || c.step != step {
		c.job, c.step, c.entries = id, step, c.entries[:0]
	}
	for _, e := range c.entries {
		if e.window == v.window && e.tokens == v.tokens {
			return
		}
	}

	// The memory of an entry of the step before is used again.
	var memory []float32
	if n := len(c.entries); n < cap(c.entries) {
		memory = c.entries[:n+1][n].values[:0]
	}
	v.values = append(memory, v.values...)
	c.entries = append(c.entries, v)
}

// velocities returns what is kept of a step. The values must not be changed, and are good until
// another step is added.
func (c *StepCache) velocities(id job.ID, step int) []cachedVelocity {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.job != id || c.step != step {
		return nil
	}
	return slices.Clone(c.entries)
}

// clear forgets everything and frees the memory.
func (c *StepCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.job, c.entries = "", nil
}
