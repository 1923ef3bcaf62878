package coord

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
	"github.com/longtake/longtake/internal/wire"
)

// leader is the memory of one term of office. It is rebuilt from what nodes say.
type leader struct {
	c      *Coordinator
	out    outbox
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.Mutex     // of wg and of cancelling ctx
	wg     sync.WaitGroup // orders under way
	subs   []*nats.Subscription
	since  time.Time // start of the term, by the clock; dated is its time of day
	dated  time.Time
	calm   time.Time // until when nodes may still be coming back
	look   time.Time // when the next look for strays is

	own     string    // id of the cluster whose objects the store has
	foreign time.Time // until when it is not looked at again

	promoting atomic.Bool // a member is being let vote

	expired time.Time // when jobs over their limits were last deleted

	mu       sync.Mutex
	nodes    map[job.NodeID]*node
	gone     map[job.NodeID]departure
	progress map[job.ID]job.Progress
	previews map[job.ID]Preview // the latest
	waiting  map[job.ID]string
	alive    map[job.ID]time.Time // last sign that rank 0 runs the live attempt
	paces    map[job.ID]sched.Pace
	asks     map[job.ID]string    // jobs that are to stop at a step boundary, and why
	asked    map[job.ID]time.Time // since when
	// decisions tell why a running job goes over to more shards or does not.
	decisions map[job.ID]string
	lost      map[job.ID]loss     // of this term
	sights    map[string]sighting // of what ends at a time
	// blamed are nodes on which a job went wrong: others come first.
	blamed map[job.ID]map[job.NodeID]bool
}

// newLeader takes office: it gives the jobs that run a time to be heard of.
func newLeader(ctx context.Context, c *Coordinator) *leader {
	l := &leader{c: c, since: c.cfg.Clock(), dated: c.cfg.Now(), nodes: map[job.NodeID]*node{},
		gone: map[job.NodeID]departure{}, progress: map[job.ID]job.Progress{},
		waiting: map[job.ID]string{}, alive: map[job.ID]time.Time{}, paces: map[job.ID]sched.Pace{},
		blamed: map[job.ID]map[job.NodeID]bool{}, previews: map[job.ID]Preview{},
		lost: map[job.ID]loss{}, sights: map[string]sighting{}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.calm, l.look = l.since, l.since.Add(straysFirst)
	t := c.cfg.Timing
	for _, r := range c.fsm.all(func(r job.Record) bool { return !r.State.Final() }) {
		l.calm = l.since.Add(t.Grace)
		if r.State == job.Running {
			l.alive[r.ID] = l.calm.Add(-t.LostAfter)
		}
	}
	l.out = c.outboxOf(l)
	return l
}

// close stops listening and waits for orders under way.
func (l *leader) close() {
	l.work.Lock()
	l.cancel()
	l.work.Unlock()
	for _, s := range l.subs {
		s.Unsubscribe() //nolint:errcheck // fails only when the connection is closed already
	}
	l.wg.Wait()
}

// spawn runs f on its own goroutine, unless the term is over.
func (l *leader) spawn(f func()) {
	l.work.Lock()
	defer l.work.Unlock()
	if l.ctx.Err() == nil {
		l.wg.Go(f)
	}
}

// tick does what must happen without an event.
func (l *leader) tick() {
	if l.deaf() {
		return
	}
	if l.dropSilent() {
		l.publishRoutes()
	}
	for _, r := range l.c.fsm.all(running) {
		if b := l.trouble(r); b.Reason != "" {
			l.lose(r, b)
		}
	}
	l.forget()
	l.endDrains()
	l.expire()
	l.promote()
	l.schedule()
	l.sweep()
	l.strays()
}

// deaf reports whether no node can be heard, because NATS is being restarted. They have all their
// time again afterwards.
func (l *leader) deaf() bool {
	if b := l.c.broker; b == nil || !b.away.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.c.cfg.Clock()
	for _, n := range l.nodes {
		n.seen = now
	}
	for id := range l.alive {
		l.alive[id] = now
	}
	return true
}

func running(r job.Record) bool { return r.State == job.Running }

func queued(r job.Record) bool { return r.State == job.Queued }

// trouble says why a running job cannot go on, with no reason if it can.
func (l *leader) trouble(r job.Record) job.Setback {
	drains := l.c.fsm.drains()
	l.mu.Lock()
	defer l.mu.Unlock()
	now, p := l.c.cfg.Clock(), l.progress[r.ID]
	ranks := len(r.Plan.Nodes)
	if p.Attempt == r.Attempt && (p.Stage == job.StageDecode || p.Stage == job.StageEncode) {
		ranks = min(ranks, max(p.Ranks, 1)) // the others are done
	}
	for rank, id := range r.Plan.Nodes[:ranks] {
		if b := l.nodeTrouble(r, rank, id, drains); b.Reason != "" {
			b.Reason += l.stage(r)
			return b
		}
	}
	n := l.nodes[r.Plan.Nodes[0]]
	sign, ok := l.alive[r.ID]
	if n == nil || !ok || now.Sub(sign) <= l.c.cfg.Timing.LostAfter {
		return job.Setback{}
	}
	return job.Setback{Detection: now.Sub(sign),
		Reason: fmt.Sprintf("node %s (rank 0) no longer works on it%s", n.reg.Name, l.stage(r))}
}

// nodeTrouble says what is wrong with the node of a rank; the caller holds the lock.
func (l *leader) nodeTrouble(r job.Record, rank int, id job.NodeID,
	drains map[job.NodeID]Drain) job.Setback {
	now, n := l.c.cfg.Clock(), l.nodes[id]
	d, gone := l.gone[id]
	switch {
	case n == nil && gone:
		return job.Setback{Reason: fmt.Sprintf("node %s (rank %d) %s", d.name, rank, d.why),
			Detection: d.silent}
	case n == nil && now.After(l.calm):
		return job.Setback{Detection: now.Sub(l.since), Reason: fmt.Sprintf(
			"the coordinator restarted, and node %s (rank %d) did not come back", id, rank)}
	case n == nil:
		return job.Setback{}
	}
	if d, ok := drains[id]; ok && l.drainOver(d) {
		return job.Setback{Reason: fmt.Sprintf("node %s (rank %d) was drained, and its time was over",
			n.reg.Name, rank)}
	}
	limit := l.patience(r)
	if at := n.beat.Computing; n.working(r) && at > limit {
		l.blame(r.ID, id)
		return job.Setback{Detection: at, Reason: fmt.Sprintf(
			"node %s (rank %d) hangs: it has computed for %v without coming further, %v is allowed",
			n.reg.Name, rank, sched.Rounded(at), sched.Rounded(limit))}
	}
	return job.Setback{}
}

// patience is how long a rank of a job may compute without coming further: several times what an
// advance has taken so far.
func (l *leader) patience(r job.Record) time.Duration {
	t := l.c.cfg.Timing
	if p := l.paces[r.ID]; p.Attempt == r.Attempt && p.Slowest > 0 {
		return max(t.HungAfter, hungFactor*p.Slowest)
	}
	return max(t.HungAfter, t.HungFirst)
}

// hungFactor is how many times its slowest advance a rank may take for the next.
const hungFactor = 8

// blame notes that a job went wrong on a node; the caller holds the lock.
func (l *leader) blame(id job.ID, n job.NodeID) {
	if l.blamed[id] == nil {
		l.blamed[id] = map[job.NodeID]bool{}
	}
	l.blamed[id][n] = true
}

// stage says where a job is, as part of a reason; the caller holds the lock.
func (l *leader) stage(r job.Record) string {
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

// fail ends a job's live attempt for a reason and stops its ranks.
func (l *leader) fail(r job.Record, reason string) {
	l.mu.Lock()
	where := l.stage(r)
	l.mu.Unlock()
	end, err := l.c.commit(command{Kind: kindFail, Job: r.ID, Attempt: r.Attempt, Reason: reason})
	if err != nil {
		l.c.log.Warn("cannot fail a job", "job", r.ID, "error", err)
		return
	}
	l.c.log.Warn("job failed", "job", r.ID, "attempt", r.Attempt, "reason", reason, "where", where)
	l.ended(end)
	l.stopAll(end.Plan, false, "the attempt failed: "+reason)
}

// lose gives a job's live attempt up and stops its ranks; the job goes on in another one.
func (l *leader) lose(r job.Record, b job.Setback) {
	l.mu.Lock()
	if p := l.progress[r.ID]; p.Attempt == r.Attempt && p.Stage == job.StageDenoise {
		b.Done = max(b.Done, p.Done)
	}
	l.mu.Unlock()
	after, err := l.c.commit(command{Kind: kindLose, Job: r.ID, Attempt: r.Attempt, Setback: &b})
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
	l.c.metrics.setback(after, b)
	if after.State.Final() {
		l.ended(after)
	}
	l.mu.Lock()
	delete(l.alive, r.ID)
	l.lost[r.ID] = loss{r.Attempt, l.c.cfg.Clock()}
	l.mu.Unlock()
	l.stopAll(r.Plan, false, "the attempt is over: "+b.Reason)
	l.c.wake()
}

// ended counts a job that just became final.
func (l *leader) ended(r job.Record) { l.c.metrics.ended(r) }

// forget drops memory of jobs that are not live any more.
func (l *leader) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	stale := func(id job.ID) bool {
		r, ok := l.c.fsm.get(id)
		return !ok || r.State.Final()
	}
	forgetIf(l.progress, stale)
	forgetIf(l.alive, stale)
	forgetIf(l.paces, stale)
	forgetIf(l.blamed, stale)
	forgetIf(l.lost, stale)
	l.forgetSights()
	l.forgetPreviews()
	for id := range l.waiting {
		if r, ok := l.c.fsm.get(id); !ok || r.State != job.Queued {
			delete(l.waiting, id)
		}
	}
}

func forgetIf[T any](m map[job.ID]T, stale func(job.ID) bool) {
	for id := range m {
		if stale(id) {
			delete(m, id)
		}
	}
}

// live returns the job if w names its live attempt and node runs that rank of it.
func (l *leader) live(id job.NodeID, w wire.Work) (job.Record, bool) {
	r, ok := l.c.fsm.get(w.Job)
	ok = ok && r.State == job.Running && r.Attempt == w.Attempt && w.Rank < len(r.Plan.Nodes)
	return r, ok && r.Plan.Nodes[w.Rank] == id
}
