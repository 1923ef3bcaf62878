package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
)

// entry is what the checkers read of a log entry, by its JSON names. They do not use core's own
// type for it, so that a mistake in that is not made twice.
type entry struct {
	Kind    string      `json:"kind"`
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Create  *struct {
		Spec job.Spec `json:"spec"`
	} `json:"create"`
	Setback *job.Setback  `json:"setback"`
	Meter   *meterEntry   `json:"meter"`
	Settle  []settleEntry `json:"settle"`
}

// read opens the seal of an entry and decodes it. A leader that appends what cannot be read is a
// bug of the simulation itself.
func read(data []byte) entry {
	var e entry
	data, _, err := core.Unseal(data)
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		panic(fmt.Sprintf("sim: a log entry that cannot be read: %v", err))
	}
	return e
}

// checker judges every committed decision, and the end. Each of its methods holds one promise of
// the project and names it as the kind of its violations.
type checker struct {
	w         *world
	best      map[job.ID]int        // the furthest step with a durable checkpoint
	completed map[job.ID]int        // how many times a job became completed
	taken     map[job.NodeID]job.ID // nodes by the running job that has them
	ledger    *ledger
}

func newChecker(w *world) *checker {
	return &checker{w: w, best: map[job.ID]int{}, completed: map[job.ID]int{},
		taken: map[job.NodeID]job.ID{}, ledger: newLedger(w)}
}

// committed looks at a decision on the leader k right after it was applied: before is the job as it
// was, after is what the decision made of it. Entries that are not about a job are skipped.
func (c *checker) committed(k *core.Core, e entry, before, after job.Record) {
	c.ledger.committed(e, before, after)
	if e.Job == "" || e.Kind == "delete" || after.ID != e.Job {
		return
	}

	c.attempts(before, after)
	if before.State == job.Running && after.State != job.Running {
		for _, n := range before.Plan.Nodes {
			delete(c.taken, n)
		}
	}
	if after.State == job.Running && before.State != job.Running {
		c.w.stats.Attempts++
		if after.Plan.Predicted != "" {
			c.w.stats.Predicted++
		}
		c.placed(after)
		c.quota(k, after)
	}
	c.spent(e, k, after)
	c.durable(e, before, after)
	c.parts(before, after)

	if after.State == job.Completed && before.State != job.Completed {
		c.artifact(after)
		if c.w.is("the results are swept with the checkpoints") {
			delete(c.w.store.objects, after.Result.Video.Name)
		}
	}

	if c.w.day == nil { // a day has too many jobs, and looks at times
		c.vanished(k)
	}
	if err := after.Check(); err != nil {
		c.w.violated("record", "job %s: %v", after.ID, err)
	}
}

// attempts holds the fence: the numbers of attempts grow by one at a time, a new one begins only
// when the old one is over, and a final state stays.
func (c *checker) attempts(before, after job.Record) {
	id := after.ID
	switch {
	case before.ID == "":
	case before.State.Final() && after.State != before.State:
		c.w.violated("final", "job %s was %s and is %s", id, before.State, after.State)
	case after.Attempt < before.Attempt || after.Attempt > before.Attempt+1:
		c.w.violated("attempts", "job %s: attempt %d after %d", id, after.Attempt, before.Attempt)
	case after.Attempt != before.Attempt && before.State == job.Running:
		c.w.violated("two live attempts", "job %s: %d and %d", id, before.Attempt, after.Attempt)
	}
}

// placed checks a new attempt: it has its nodes to itself, they have its model, its mesh fits the
// clip, and the tokens of its ranks cover each window exactly once.
func (c *checker) placed(r job.Record) {
	for _, n := range r.Plan.Nodes {
		if id, ok := c.taken[n]; ok && id != r.ID {
			c.w.violated("node twice", "node %s has ranks of jobs %s and %s", n, id, r.ID)
		}
		c.taken[n] = r.ID
	}

	m, _ := c.w.models.Named(r.Spec.Model)
	for _, id := range r.Plan.Nodes {
		if !c.w.onDisk(id, m.Name) {
			c.w.violated("wrong model", "job %s of %s is on node %s, which has no such model", r.ID, m.Name,
				id)
			return
		}
	}

	load := plan.Load(m, r.Spec)
	if err := partition.Check(r.Plan.Mesh, load); err != nil {
		c.w.violated("tiles", "job %s: %v", r.ID, err)
		return
	}

	// at is the first token that no rank has yet; ranges must follow each other without a gap.
	at := 0
	for _, t := range partition.Even(load.WindowTokens(), r.Plan.Mesh.Ulysses) {
		if t.Lo != at || t.Len() == 0 {
			c.w.violated("tiles", "job %s: a range %v after token %d", r.ID, t, at)
		}
		at = t.Hi
	}
	if at != load.WindowTokens() || r.Plan.Mesh.Size() != len(r.Plan.Nodes) {
		c.w.violated("tiles", "job %s: %d of %d tokens on %d nodes", r.ID, at, load.WindowTokens(),
			len(r.Plan.Nodes))
	}
}

// durable holds progress: no attempt begins before the furthest checkpoint that is durable and can
// be read. A job may fall back to an earlier one only where the later one has decayed.
func (c *checker) durable(e entry, before, after job.Record) {
	id := after.ID
	if e.Kind == "save" && after.Checkpoint.Step > c.best[id] {
		c.best[id] = after.Checkpoint.Step
	}
	if after.State.Final() || after.Checkpoint.Step >= before.Checkpoint.Step {
		return
	}
	if c.w.store.good(before.Checkpoint.Object) {
		c.w.violated("progress", "job %s goes back from step %d to %d, and its checkpoint is good", id,
			before.Checkpoint.Step, after.Checkpoint.Step)
	}
	c.best[id] = after.Checkpoint.Step
}

// parts holds what a live job has stored of its result already: parts are not forgotten, and their
// objects stay in the store.
func (c *checker) parts(before, after job.Record) {
	if after.State.Final() {
		return
	}
	if len(after.Parts) < len(before.Parts) {
		c.w.violated("progress", "job %s had %d parts and has %d", after.ID, len(before.Parts),
			len(after.Parts))
	}
	for name, o := range after.Parts {
		if !c.w.store.good(o) {
			c.w.violated("artifact", "part %s of job %s is not there", name, after.ID)
		}
	}
}

// artifact checks a job that has just been completed: for the first time, with objects that can be
// read, and with the clip that its seed and steps give on one undisturbed machine.
func (c *checker) artifact(r job.Record) {
	c.completed[r.ID]++
	want := finished(r.Spec)
	switch {
	case c.completed[r.ID] > 1:
		c.w.violated("artifact", "job %s completed twice", r.ID)
	case !c.w.store.good(r.Result.Video) || !c.w.store.good(r.Result.Latents):
		c.w.violated("artifact", "job %s: its result is not there", r.ID)
	case r.Result.LatentsSHA256 != fmt.Sprint(want):
		c.w.violated("artifact", "job %s became another clip", r.ID)
	}
}

// same holds determinism: members that have applied the same entries have the same state, byte for
// byte, whether they applied them one by one or began with a snapshot.
func (c *checker) same() {
	var seen *member
	var want []byte
	for _, m := range c.w.raft.cores {
		if m.down || m.applied != c.w.raft.length() {
			continue
		}
		have := m.snapshot()
		if seen != nil && !bytes.Equal(have, want) {
			c.w.violated("diverged", "c%d and c%d differ after %d entries", seen.id, m.id, m.applied)
		}
		seen, want = m, have
	}
}

// vanished wants every acknowledged job to be known, unless a client has deleted it.
func (c *checker) vanished(k *core.Core) {
	for _, id := range c.w.clients.order {
		if _, ok := k.Machine().Record(id); !ok && !c.w.clients.gone[id] {
			c.w.violated("vanished", "job %s was acknowledged, and is unknown", id)
		}
	}
}

// pretend returns the record of a create that a mutant acknowledges without committing it.
func (c *checker) pretend(e entry) job.Record {
	return job.New(e.Job, "", e.Create.Spec, c.w.now)
}

// ended reports whether every job is final, as far as a leader knows.
func (c *checker) ended() bool {
	k := c.w.raft.lead()
	if k == nil {
		return false
	}
	for _, r := range k.Machine().Records(nil) {
		if !r.State.Final() {
			return false
		}
	}
	return c.ledger.settled()
}

// last judges a run whose jobs have all ended: members agree, and every job is completed unless it
// was cancelled or lost so many attempts without progress that the coordinator gave it up.
func (c *checker) last() {
	k := c.w.raft.lead()
	c.vanished(k)

	for _, m := range c.w.raft.cores {
		if !m.down {
			m.catchUp()
		}
	}
	c.same()
	if id, ok := k.Machine().Charged(); ok {
		c.w.violated("charge", "job %s has ended, and counts still", id)
	}
	c.ledger.last(k)

	for _, r := range k.Machine().Records(nil) {
		if r.State == job.Failed && !strings.Contains(r.Error, "without progress") {
			c.w.violated("lost", "job %s failed: %s", r.ID, r.Error)
		}
		if o := r.Result; r.State == job.Completed &&
			(!c.w.store.good(o.Video) || !c.w.store.good(o.Latents)) {
			c.w.violated("artifact", "job %s: its result is not there any more", r.ID)
		}
	}
}

// stuck reports what has not ended when the time is over: an election, a job, or a request.
func (c *checker) stuck() {
	k := c.w.raft.lead()
	if k == nil {
		c.w.violated("stuck", "nobody leads")
		return
	}
	for _, r := range k.Machine().Records(nil) {
		if !r.State.Final() {
			c.w.violated("stuck", "job %s is %s in attempt %d on %v, %d attempts lost", r.ID, r.State,
				r.Attempt, r.Plan.Nodes, len(r.Losses))
		}
	}
	c.w.violated("stuck", "a client was never answered")
}
