package coord

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// pace is what the leader has measured of a job's live attempt.
type pace struct {
	attempt job.Attempt
	placed  time.Time
	setup   time.Duration // from the order to start to the first denoising step
	stage   job.Stage
	done    int
	at      time.Time     // of the last advance
	slowest time.Duration // advance of this stage
	mean    time.Duration // of a denoising step
}

// advance takes a report.
func (p *pace) advance(r job.Progress, now time.Time) {
	if r.Attempt != p.attempt || p.placed.IsZero() {
		*p = pace{attempt: r.Attempt, placed: now, at: now}
	}
	switch took := now.Sub(p.at); {
	case r.Stage != p.stage:
		if r.Stage == job.StageDenoise {
			p.setup = now.Sub(p.placed)
		}
		p.stage, p.done, p.at, p.slowest = r.Stage, r.Done, now, 0
	case r.Done > p.done:
		each := took / time.Duration(r.Done-p.done)
		if r.Stage == job.StageDenoise {
			p.mean = mix(p.mean, each)
		}
		p.slowest = max(p.slowest, took)
		p.done, p.at = r.Done, now
	}
}

// mix is a running mean.
func mix(mean, next time.Duration) time.Duration {
	if mean == 0 {
		return next
	}
	return (3*mean + next) / 4
}

// yields decides which running jobs are to stop at their next step boundary, and why: a node of
// theirs is being drained, a more urgent job needs their shards (preempted), their windows should
// follow the speed of their nodes, or more shards are there than they use. idle is true when
// nothing waits for shards.
func (l *leader) yields(p pool, preempted map[job.ID]string, idle bool) map[job.ID]string {
	asks := map[job.ID]string{}
	drains := l.c.fsm.drains()
	notes := map[job.ID]string{}
	for _, r := range l.c.fsm.all(running) {
		if r.CancelRequested || !l.atSteps(r) {
			continue
		}
		if i := slices.IndexFunc(r.Plan.Nodes, func(id job.NodeID) bool {
			_, ok := drains[id]
			return ok
		}); i >= 0 {
			l.mu.Lock()
			asks[r.ID] = fmt.Sprintf("node %s (rank %d) is being drained", l.name(r.Plan.Nodes[i]), i)
			l.mu.Unlock()
			continue
		}
		if why := preempted[r.ID]; why != "" {
			asks[r.ID] = why
			continue
		}
		if why, pays := l.balance(r); pays {
			asks[r.ID] = why
			continue
		}
		if !idle || len(p.free) == 0 {
			continue
		}
		note, pays := l.growth(r, len(p.free))
		if pays {
			asks[r.ID] = note
			idle = false // one at a time
		}
		if note != "" {
			notes[r.ID] = note
		}
	}
	l.mu.Lock()
	l.decisions = notes
	l.mu.Unlock()
	return asks
}

// atSteps reports whether a job has step boundaries before it.
func (l *leader) atSteps(r job.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.progress[r.ID]
	return p.Attempt != r.Attempt || p.Stage == job.StageText ||
		p.Stage == job.StageDenoise && p.Done+1 < p.Total
}

// growth tells whether a running job is to go over to more shards, and why: what is left takes less
// time on them by more than twice of what stopping and starting costs.
func (l *leader) growth(r job.Record, free int) (note string, pays bool) {
	l.mu.Lock()
	p, ok := l.paces[r.ID]
	l.mu.Unlock()
	have := len(r.Plan.Nodes)
	if !ok || p.attempt != r.Attempt || p.mean == 0 {
		return "", false
	}
	mesh, err := arrange(l.c.fsm.model(), r, have+free)
	if err != nil || mesh.Size() <= have {
		return "", false
	}
	left := time.Duration(r.Spec.TotalSteps()-p.done-1) * p.mean
	saves := left - left*time.Duration(have)/time.Duration(mesh.Size())
	cost := p.setup + p.mean/2
	pays = saves > max(2*cost, growthLeast)
	verdict := "stays"
	if pays {
		verdict = "goes over"
	}
	return fmt.Sprintf("%s idle beside the %d at work: %d shards would save %v and cost %v, so it %s",
		shards(free), have, mesh.Size(), short(saves), short(cost), verdict), pays
}

// growthLeast is what going over to more shards has to save at least.
const growthLeast = time.Second

func short(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}

// ask tells rank 0 of the jobs in asks to stop at its next step boundary; heartbeats repeat it, and
// take it back of a job that is in asks no more.
func (l *leader) ask(asks map[job.ID]string) {
	l.mu.Lock()
	old := l.asks
	l.asks = asks
	asked := map[job.ID]time.Time{}
	for id := range asks {
		asked[id] = l.asked[id]
		if asked[id].IsZero() {
			asked[id] = l.c.cfg.Now()
		}
	}
	l.asked = asked
	l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(asks)) {
		why := asks[id]
		r, ok := l.c.fsm.get(id)
		if _, known := old[id]; known || !ok || r.State != job.Running {
			continue
		}
		l.c.log.Info("job is to stop at a step boundary", "job", id, "attempt", r.Attempt, "why", why)
		order := wire.Stop{Job: id, Attempt: r.Attempt, Yield: true, Reason: why}
		l.order(wire.SubjectStop(r.Plan.Nodes[0]), order)
	}
}

// overdue stops preempted jobs whose step boundary is too far to be waited for.
func (l *leader) overdue(preempted map[job.ID]string) {
	for _, id := range slices.Sorted(maps.Keys(preempted)) {
		l.mu.Lock()
		since, asked := l.asked[id]
		l.mu.Unlock()
		r, ok := l.c.fsm.get(id)
		if !asked || !ok || r.State != job.Running ||
			l.c.cfg.Now().Sub(since) < l.c.cfg.Timing.Yield {
			continue
		}
		l.lose(r, job.Setback{Planned: true, Reason: preempted[id] + ", in the middle of a long step"})
	}
}

// victims picks running jobs of a lower priority than r whose shards, with those that are free,
// are as many as r needs: the lowest first, of equal ones the latest. None if that does not do.
func (l *leader) victims(r job.Record, p pool) []job.Record {
	lower := l.c.fsm.all(func(v job.Record) bool {
		return v.State == job.Running && v.Spec.Priority < r.Spec.Priority && !v.CancelRequested
	})
	slices.Reverse(lower)
	slices.SortStableFunc(lower, func(a, b job.Record) int {
		return a.Spec.Priority - b.Spec.Priority
	})
	have, writes := len(p.free), slices.ContainsFunc(p.free, func(n *node) bool {
		return n.writes(r.Spec.Format)
	})
	var picked []job.Record
	for _, v := range lower {
		if !l.atSteps(v) {
			continue
		}
		picked = append(picked, v)
		for _, n := range p.all {
			if slices.Contains(v.Plan.Nodes, n.reg.Node) {
				have++
				writes = writes || n.writes(r.Spec.Format)
			}
		}
		if have >= max(wanted(r), 1) && writes {
			return picked
		}
	}
	return nil
}
