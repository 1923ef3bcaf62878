package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// clients are users and operators: they create jobs, repeat requests that were not answered, cancel
// and delete jobs, and drain nodes.
type clients struct {
	w     *world
	left  int               // requests that were not answered yet
	made  map[string]job.ID // the job of each idempotency key, once one was seen
	gone  map[job.ID]bool   // jobs that were deleted, or may have been
	order []job.ID          // acknowledged jobs, in that order
}

// newClients plans what they will ask for: 1 to 6 jobs, and up to 3 other things.
func newClients(w *world) *clients {
	c := &clients{w: w, made: map[string]job.ID{}, gone: map[job.ID]bool{}}
	for i := range 1 + w.rng.IntN(6) {
		c.left++
		key := fmt.Sprintf("k%d", i)
		r := c.request(i)
		w.after(w.between(time.Second, 25*time.Second), func() { c.create(key, r) })
	}

	for range w.rng.IntN(4) {
		act := []func(){c.cancel, c.drain, c.undrain, c.delete}[w.rng.IntN(4)]
		w.after(w.between(3*time.Second, troubled), act)
	}

	if c.keyed() {
		w.after(500*time.Millisecond, func() { c.limit(0) })
		w.after(limitedFor, func() { c.unlimit(0) }) // or jobs would wait until midnight
	}
	// A drained node takes no work. With all of them drained, jobs would wait for ever.
	w.after(troubled, c.undrainAll)
	return c
}

// request draws a job. Every one has a seed of its own, so that no two clips have the same bytes.
func (c *clients) request(i int) job.Request {
	steps, seed := 1+c.w.rng.IntN(8), uint64(i+1)
	r := job.Request{Prompt: "p", Steps: &steps, Seed: &seed}
	nodes := 1 // that have the model for sure
	if c.w.rng.IntN(3) > 0 {
		r.Model = c.w.models[c.w.rng.IntN(len(c.w.models))].Name
		nodes = c.w.count(r.Model)
	}
	if c.w.rng.IntN(3) == 0 {
		r.Shards = 1 + c.w.rng.IntN(nodes)
	}
	if c.w.rng.IntN(3) == 0 {
		r.Priority = c.w.rng.IntN(3)
	}

	if c.keyed() {
		r.Owner = keyID(i % 3)
		r.Team = []string{"", "film"}[i%2]
	}
	return r
}

// create sends a request to the leader and repeats it until an answer arrives. Its key lets the
// coordinator recognise a repeat.
func (c *clients) create(key string, r job.Request) {
	r.Key = key
	k := c.w.raft.lead()
	if k == nil {
		c.again(key, r)
		return
	}
	k.Create(r, func(rec job.Record, err error) { c.created(key, r, rec, err) })
}

// again sends a request once more after a pause, as an HTTP client does.
func (c *clients) again(key string, r job.Request) {
	c.w.after(500*time.Millisecond, func() { c.create(key, r) })
}

// created takes the answer to a request. What it names must be the same job as in every answer to
// the same key before.
func (c *clients) created(key string, r job.Request, rec job.Record, err error) {
	var unknown *job.FieldError // the model, of which no node has registered yet
	switch {
	case errors.Is(err, core.ErrNotLeader), errors.Is(err, core.ErrNoModel),
		errors.As(err, &unknown) && unknown.Field == "model":
		c.again(key, r)
		return
	case err != nil:
		c.w.violated("create", "%v", err)
		return
	}

	if old, ok := c.made[key]; ok && old != rec.ID {
		c.w.violated("doubled", "key %s made jobs %s and %s", key, old, rec.ID)
	}
	c.made[key] = rec.ID
	if c.w.chance(0.3) { // the answer is lost on its way: the client does not know of the job
		c.again(key, r)
		return
	}

	c.left--
	c.order = append(c.order, rec.ID)
	c.w.stats.Jobs++
	c.w.log("client created %s with key %s: %d steps, %d shards, priority %d", rec.ID, key,
		rec.Spec.Steps, rec.Spec.Shards, rec.Spec.Priority)
}

// some picks an acknowledged job, and the leader to ask; nil where either is missing.
func (c *clients) some() (job.ID, *core.Core) {
	k := c.w.raft.lead()
	if k == nil || len(c.order) == 0 {
		return "", nil
	}
	return c.order[c.w.rng.IntN(len(c.order))], k
}

// cancel asks for the end of a job, in whatever state it is. An error is as good as success here.
func (c *clients) cancel() {
	if id, k := c.some(); k != nil && !c.gone[id] {
		err := k.Cancel(id)
		c.w.log("client cancels %s: %v", id, err)
	}
}

// delete forgets a job, which the coordinator refuses unless it is final.
func (c *clients) delete() {
	id, k := c.some()
	if k == nil || c.gone[id] {
		return
	}
	err := k.Delete(id)
	// A leader that was deposed does not know whether the entry was committed.
	if err == nil || errors.Is(err, core.ErrNotLeader) {
		c.gone[id] = true
	}
	c.w.log("client deletes %s: %v", id, err)
}

// drain takes a machine out of service: at once, soon, or not before its job has ended.
func (c *clients) drain() {
	n := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	if k := c.w.raft.lead(); k != nil {
		within := []time.Duration{0, 2 * time.Second, time.Minute}[c.w.rng.IntN(3)]
		_, err := k.DrainNode(n.name, within)
		c.w.log("operator drains %s within %v: %v", n.name, within, err)
	}
}

// undrain brings a machine back into service; one that is not drained stays as it is.
func (c *clients) undrain() {
	n := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	if k := c.w.raft.lead(); k != nil {
		_, err := k.UndrainNode(n.name)
		c.w.log("operator undrains %s: %v", n.name, err)
	}
}

// undrainAll brings every machine back into service, again and again, since a leader may be deposed
// in the middle of it.
func (c *clients) undrainAll() {
	if k := c.w.raft.lead(); k != nil {
		nodes, err := k.Nodes()
		for _, n := range nodes {
			if err == nil && !n.Deadline.IsZero() {
				_, err = k.UndrainNode(string(n.ID))
			}
		}
	}
	c.w.after(5*time.Second, c.undrainAll)
}

// done reports whether every request was answered.
func (c *clients) done() bool { return c.left == 0 }
