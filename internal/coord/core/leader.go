package core

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
	"github.com/longtake/longtake/internal/wire"
)

// leader is the memory of one term. Nothing of it is replicated: a new leader learns from the nodes
// what it needs, within a heartbeat.
type leader struct {
	c *Core
	// since is the start of the term by the clock, dated by the time of day.
	since, dated time.Time
	// graceUntil is until when nodes that have not registered with this leader are still expected to.
	graceUntil time.Time
	keyless    bool // the log has been told that no administrator can get in
	// missing is what keeps the cluster at an older version, missingTold when the log last said so.
	missing     string
	missingTold time.Time
	// ticked is what the latest tick was given as the time up to which nodes were heard.
	ticked time.Time

	nodes map[job.NodeID]*node
	// sorted are the nodes by name, then id: replaced, never written to. routesChanged is set until
	// all nodes were told of a change among them, which is not before routesNext.
	sorted        []*node
	shown         shown // what the scheduler saw of them
	routesChanged bool
	routesNext    time.Time

	gone   map[job.NodeID]departure // nodes that left the table, in this term
	orders map[job.NodeID]int       // start orders that a node has not answered yet
	// absent is since when no node has had a model, of those that none has.
	absent map[string]time.Time
	// probed is when a node was last asked to measure a link, probedOut one that leaves its host.
	probed, probedOut time.Time

	progress map[job.ID]job.Progress
	previews map[job.ID]Preview    // the latest of each job
	paces    map[job.ID]sched.Pace // of the live attempts
	meters   map[job.ID]*attemptMeter
	// rank0Seen is when the node of rank 0 last said that it runs the live attempt.
	rank0Seen map[job.ID]time.Time
	// waiting tells clients why a queued job does not run, as of the latest round of decisions, and
	// decisions why a running one moves to more shards or does not.
	waiting   map[job.ID]*standing
	round     uint64
	decisions map[job.ID]string
	// calibrations are those that were needed since a job has last completed.
	calibrations map[calibrationKey]calibrations
	// began is when the live attempts were placed, by this leader's clock.
	began map[job.ID]beginning
	// passed is since when a queued job lets jobs of loaded models go first.
	passed map[job.ID]time.Time
	// yieldRequests are the running jobs that are to stop at a step boundary, and why; yieldSince is
	// since when.
	yieldRequests map[job.ID]string
	yieldSince    map[job.ID]time.Time
	lost          map[job.ID]loss // the latest of each job, in this term
	// blamed are the nodes on which a job went wrong: others are preferred.
	blamed map[job.ID]map[job.NodeID]bool

	sights  map[string]sighting // of what ends at a time of day
	expired time.Time           // when jobs over their limits were last deleted

	// ownStore is the id of the cluster that the object store was found to belong to; empty: unknown.
	// foreignUntil is until when a store that belongs to another one is not looked at again, and
	// lookingAtStore is set while it is.
	ownStore       string
	foreignUntil   time.Time
	lookingAtStore bool
	nextStraySweep time.Time // when objects that nobody knows are looked for again
}

// newLeader begins a term. Jobs that run get a time of grace in which their nodes may be heard.
func newLeader(c *Core) *leader {
	now := c.cfg.Clock()
	l := &leader{c: c, since: now, dated: c.cfg.Now(), graceUntil: now, ticked: now,
		nextStraySweep: now.Add(straysFirst),

		nodes: map[job.NodeID]*node{}, gone: map[job.NodeID]departure{},
		orders: map[job.NodeID]int{}, absent: map[string]time.Time{},
		progress: map[job.ID]job.Progress{}, previews: map[job.ID]Preview{},
		paces: map[job.ID]sched.Pace{}, meters: map[job.ID]*attemptMeter{},
		rank0Seen: map[job.ID]time.Time{},
		waiting:   map[job.ID]*standing{}, passed: map[job.ID]time.Time{}, lost: map[job.ID]loss{},
		blamed: map[job.ID]map[job.NodeID]bool{}, sights: map[string]sighting{},
		began: map[job.ID]beginning{}}

	t := c.cfg.Timing
	for _, r := range c.machine.live(nil) {
		l.graceUntil = now.Add(t.Grace)
		if r.State == job.Running {
			l.rank0Seen[r.ID] = l.graceUntil.Add(-t.LostAfter)
			l.began[r.ID] = beginning{r.Attempt, now.Add(-max(0, l.dated.Sub(r.Placed)))}
		}
	}
	return l
}

// inTerm reports whether this is still the term's leader; answers that come later are ignored.
func (l *leader) inTerm() bool { return l.c.lead == l }

// during returns f as a callback that does nothing once the term is over.
func during[T any](l *leader, f func(T)) func(T) {
	return func(v T) {
		if l.inTerm() {
			f(v)
		}
	}
}

// tick does what must happen without an event. heard is until when all nodes were heard.
func (l *leader) tick(heard time.Time) {
	if l.c.world.Deaf() {
		l.excuseSilence(l.c.cfg.Clock())
		return
	}
	if away := heard.Sub(l.ticked); away > l.c.cfg.Timing.LostAfter/2 {
		l.excuseSilence(heard) // this process was stopped, or could not commit for a while
	}
	l.ticked = heard

	l.hear()
	l.dropSilent(heard)
	l.publishRoutes()
	for _, r := range l.c.machine.live(running) {
		if b := l.trouble(r, heard); b.Reason != "" {
			l.lose(r, b)
		}
	}
	l.forget()
	l.raiseVersion()
	l.beginAudit()
	l.takeAdmin()
	l.recordUses()
	l.tendModels()
	l.endDrains()
	l.expire()
	l.schedule()
	l.sweep()
	l.leaseStrays()
}

// excuseSilence gives all nodes their whole time again, since it was the leader that did not
// listen.
func (l *leader) excuseSilence(now time.Time) {
	for _, n := range l.nodes {
		n.seen = now
	}
	for id, seen := range l.rank0Seen {
		if seen.Before(now) { // in the time of grace it is later
			l.rank0Seen[id] = now
		}
	}
	l.ticked = now
}

func running(r *job.Record) bool { return r.State == job.Running }

// live returns the job of w, an empty one if there is none, and whether w names its live attempt
// and the node runs that rank of it. The record is the machine's own, for reading.
func (l *leader) live(id job.NodeID, w wire.Work) (*job.Record, bool) {
	r := l.c.machine.state.jobs[w.Job]
	if r == nil {
		return &noJob, false
	}
	return r, r.State == job.Running && r.Attempt == w.Attempt && w.Rank < len(r.Plan.Nodes) &&
		r.Plan.Nodes[w.Rank] == id
}

// noJob is the record of a job that is not known.
var noJob job.Record

// fail ends a job's live attempt for a reason and stops its ranks.
func (l *leader) fail(r *job.Record, reason string) {
	where := l.stage(r)
	m := l.metering(r, r.CancelRequested)
	end, err := l.c.commit(command{Kind: kindFail, Job: r.ID, Attempt: r.Attempt, Reason: reason,
		Meter: m})
	if err != nil {
		l.c.log.Warn("cannot fail a job", "job", r.ID, "error", err)
		return
	}
	l.c.log.Warn("job failed", "job", r.ID, "attempt", r.Attempt, "reason", reason, "where", where)
	l.told(m, end)
	l.c.observer.JobEnded(end)
	l.stopRanks(end.Plan, false, "the attempt failed: "+reason)
}

// lose gives a job's live attempt up and stops its ranks. The job goes back to the queue, for
// another attempt from its latest checkpoint, unless it has had too many that got nowhere.
func (l *leader) lose(r *job.Record, b job.Setback) {
	if p := l.progress[r.ID]; p.Attempt == r.Attempt && p.Stage == job.StageDenoise {
		b.Done = max(b.Done, p.Done)
	}
	m := l.metering(r, r.CancelRequested)
	after, err := l.c.commit(command{Kind: kindLose, Job: r.ID, Attempt: r.Attempt, Setback: &b,
		Meter: m})
	if err != nil {
		l.c.log.Warn("cannot give up an attempt", "job", r.ID, "error", err)
		return
	}

	log := l.c.log.Warn
	if b.Planned {
		log = l.c.log.Info
	}
	log("attempt ended early", "job", r.ID, "attempt", r.Attempt, "reason", b.Reason,
		"planned", b.Planned, "state", after.State, "step", after.Checkpoint.Step)
	l.told(m, after)
	l.c.observer.AttemptLost(after, b)
	if after.State.Final() {
		l.c.observer.JobEnded(after)
	}
	delete(l.rank0Seen, r.ID)
	l.lost[r.ID] = loss{r.Attempt, l.c.cfg.Clock()}
	l.stopRanks(r.Plan, false, "the attempt is over: "+b.Reason)
	l.c.wake()
}

// blamedFor returns the nodes on which a job went wrong, if there are any.
func (l *leader) blamedFor(r *job.Record) map[job.NodeID]bool {
	if r.Attempt == 0 {
		return nil
	}
	return l.blamed[r.ID]
}

// blame notes that a job went wrong on a node.
func (l *leader) blame(id job.ID, n job.NodeID) {
	if l.blamed[id] == nil {
		l.blamed[id] = map[job.NodeID]bool{}
	}
	l.blamed[id][n] = true
}

// stage says how far a job's live attempt is, as the end of a sentence.
func (l *leader) stage(r *job.Record) string {
	p := l.progress[r.ID]
	if p.Attempt != r.Attempt {
		return ""
	}
	switch p.Stage {
	case "":
		return ""
	case job.StageDenoise:
		return fmt.Sprintf(" after denoising step %d of %d", p.Done, p.Total)
	case job.StageDecode:
		return fmt.Sprintf(" after decoding frame %d of %d", p.Done, p.Total)
	}
	return fmt.Sprintf(" in stage %s", p.Stage)
}

// forget drops memory of jobs that are not live any more.
func (l *leader) forget() {
	stale := func(id job.ID) bool {
		s := l.c.machine.stateOf(id)
		return s == "" || s.Final()
	}
	forgetIf(l.progress, stale)
	forgetIf(l.rank0Seen, stale)
	forgetIf(l.paces, stale)
	forgetIf(l.meters, stale)
	forgetIf(l.blamed, stale)
	forgetIf(l.lost, stale)
	forgetIf(l.began, stale)

	l.forgetSights()
	l.forgetPreviews()

	notQueued := func(id job.ID) bool { return l.c.machine.stateOf(id) != job.Queued }
	forgetIf(l.passed, notQueued)
}

func forgetIf[T any](m map[job.ID]T, stale func(job.ID) bool) {
	for id := range m {
		if stale(id) {
			delete(m, id)
		}
	}
}
