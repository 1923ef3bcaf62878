package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
	"github.com/longtake/longtake/internal/wire"
)

// schedule lets the scheduler decide on all jobs and carries its decisions out. While objects are
// being deleted it places nothing: see sweep.
func (l *leader) schedule() {
	if l.c.deleting || !l.storeSettled() {
		return
	}
	yields, notes := map[job.ID]string{}, map[job.ID]string{}
	var overdue []sched.Decision
	stalled := false // a job could not be committed, so those behind it wait

	waits := standings{l: l}
	l.round++
	v, queued := l.schedulerView()
	l.share(&v, queued)
	if !sched.Quiet(v) {
		l.showNodes(&v)
	}

	l.shown.deciding = true
	defer func() { l.shown.deciding = false }()

	decisions := sched.Decide(v)
	nodes := l.picked(decisions)
	for _, d := range decisions {
		id := d.Job.ID
		if stalled && d.NeedsQueue() {
			if d.Job.State == job.Queued {
				waits.note(id, standing{why: "waits for its turn"})
			}
			continue
		}

		switch d.Action {
		case sched.Place:
			if err := l.place(d, nodes); err != nil {
				l.c.log.Warn("cannot place a job", "job", id, "error", err)
				waits.note(id, standing{why: "waits: " + err.Error()})
				stalled = true
			}
		case sched.Wait:
			waits.note(id, standing{why: d.Why, ahead: d.Ahead, counted: true})
			if d.Passed && l.passed[id].IsZero() {
				l.passed[id] = l.c.cfg.Clock()
			}
		case sched.Fail:
			l.fail(d.Job, d.Why)
		case sched.Keep:
			if d.Why != "" {
				notes[id] = d.Why
			}
		case sched.Yield:
			yields[id] = d.Why
		case sched.Stop:
			yields[id] = d.Why
			overdue = append(overdue, d)
		}
	}

	// Jobs are stopped last: that commits, and gives the scheduler another view to look at.
	waits.end()
	l.requestYields(yields, notes)
	for _, d := range overdue {
		if r, ok := l.c.machine.Record(d.Job.ID); ok && r.State == job.Running { // it has not ended since
			l.lose(&r, job.Setback{Planned: true, Reason: d.Why})
		}
	}
}

// picked returns the nodes of placements by id, as they are when the decisions are made. While one
// of these is committed, nodes of the next may leave the table; their orders then fail, as those of
// any node that is gone. Other nodes are not looked at: of a thousand that would take a while.
func (l *leader) picked(decisions []sched.Decision) map[job.NodeID]*node {
	nodes := map[job.NodeID]*node{}
	for i := range decisions {
		for k := range decisions[i].Nodes {
			id := decisions[i].Nodes[k].ID
			nodes[id] = l.nodes[id]
		}
	}
	return nodes
}

// schedulerView returns what the scheduler decides on, but for the nodes, and what is left to
// share: see showNodes and share. waits are the jobs of View.Queued.
func (l *leader) schedulerView() (v sched.View, waits []*liveJob) {
	disk := l.c.world.Disk()
	v = sched.View{Now: l.c.cfg.Clock(), Models: l.c.machine.Models(),
		Draining: map[job.NodeID]string{}, Taken: l.c.machine.state.index.taken,
		GraceUntil: l.graceUntil,
		LostAfter:  l.c.cfg.Timing.LostAfter, YieldWithin: l.c.cfg.Timing.Yield}
	v.Store = sched.Store{Open: l.c.world.Objects() != nil, Room: l.c.RoomForPlaced()}
	if disk.Stage > Roomy {
		v.Store.Full = cmp.Or(disk.Why, disk.Stage.String())
	}

	queued, running, _ := l.c.machine.Counts()
	waits = make([]*liveJob, 0, queued+1) // there may be one that is only asked about
	v.Queued, v.Running = make([]sched.Queued, 0, queued+1), make([]sched.Running, 0, running)
	for _, j := range l.c.machine.state.index.live {
		r := j.r
		switch r.State {
		case job.Queued:
			waits = append(waits, l.c.weigh(j))
			v.Queued = append(v.Queued, sched.Queued{Record: r, SinceLoss: l.sinceLoss(r),
				Needs: j.needs, Blamed: l.blamedFor(r), PassedSince: l.passed[r.ID]})
		case job.Running:
			v.Running = append(v.Running, sched.Running{Record: r, Progress: l.progress[r.ID],
				Pace: l.paces[r.ID], Asked: l.yieldSince[r.ID]})
		}
	}

	for id := range l.c.machine.drains() {
		v.Draining[id] = l.nodeName(id)
	}
	return v, waits
}

// requestYields replaces the requests to yield, and the notes on jobs that go on. Rank 0 of a job
// that was not asked before is told to stop at its next step boundary; heartbeats repeat that, and
// take it back once the job is not among yields any more.
func (l *leader) requestYields(yields, notes map[job.ID]string) {
	old := l.yieldRequests
	since := map[job.ID]time.Time{}
	for id := range yields {
		since[id] = l.yieldSince[id]
		if since[id].IsZero() {
			since[id] = l.c.cfg.Clock()
		}
	}
	l.yieldRequests, l.yieldSince, l.decisions = yields, since, notes

	// Only rank 0 is told: it alone knows when a step is over, and the others stop with it.
	for _, id := range slices.Sorted(maps.Keys(yields)) {
		why := yields[id]
		r, ok := l.c.machine.Record(id)
		if _, known := old[id]; known || !ok || r.State != job.Running {
			continue
		}
		l.c.log.Info("job is to stop at a step boundary", "job", id, "attempt", r.Attempt, "why", why)
		order := wire.Stop{Job: id, Attempt: r.Attempt, Yield: true, Reason: why}
		l.sendStop(r.Plan.Nodes[0], order)
	}
}
