package sched

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// Decide returns a decision for every job of the view: those of queued jobs in the order in which
// they are considered, then those of running jobs by creation.
func Decide(v View) []Decision {
	s := newScheduler(v)
	for _, q := range byPriority(v.Queued) {
		s.decide(q.Record, s.queued(q))
	}
	for _, r := range v.Running {
		s.decide(r.Record, s.running(r))
	}
	return s.decisions
}

// scheduler is the state of one round.
type scheduler struct {
	View
	usable []Node // those that are not draining
	free   []Node // of these, the ones that are idle and in no live plan
	room   int64  // bytes of the store that jobs placed later in this round may take

	blocked   bool              // a job waits that those behind it must not overtake
	preempted map[job.ID]string // running jobs that yield to a blocked one, and why
	growing   bool              // a job moves to more nodes; one at a time
	decisions []Decision
}

// newScheduler finds the nodes that may be used in this round.
func newScheduler(v View) *scheduler {
	s := &scheduler{View: v, room: v.Store.Room, preempted: map[job.ID]string{}}
	taken := map[job.NodeID]bool{}
	for _, r := range v.Running {
		for _, id := range r.Plan.Nodes {
			taken[id] = true
		}
	}

	for _, n := range v.Nodes {
		if _, draining := v.Draining[n.ID]; draining {
			continue
		}
		s.usable = append(s.usable, n)
		// A node of a new attempt may not have said yet that it works.
		if n.Idle && !taken[n.ID] {
			s.free = append(s.free, n)
		}
	}
	return s
}

// decide adds a decision.
func (s *scheduler) decide(r job.Record, d Decision) {
	d.Job = r
	s.decisions = append(s.decisions, d)
}

// byPriority sorts the highest first and keeps the order of equal ones.
func byPriority(all []Queued) []Queued {
	return slices.SortedStableFunc(slices.Values(all), func(a, b Queued) int {
		return b.Spec.Priority - a.Spec.Priority
	})
}

// queued places the job, or says why it waits.
func (s *scheduler) queued(q Queued) Decision {
	why, blocks := s.obstacle(q)
	if why == "" && !s.blocked {
		return s.place(q)
	}
	if why == "" {
		why = "waits for its turn"
	}
	if blocks && !s.blocked {
		s.preempt(q)
		s.blocked = true
	}
	return Decision{Action: Wait, Why: why}
}

// obstacle says why a job cannot start now, "" if it can. blocks: those behind it wait too, because
// what it waits for will come, and they would take it.
func (s *scheduler) obstacle(q Queued) (why string, blocks bool) {
	want, format := q.wanted(), q.Spec.Format

	// First what concerns the job or the store alone, then which nodes exist, then which are free.
	switch {
	case s.worksOn(q.ID) && q.SinceLoss < s.LostAfter:
		return fmt.Sprintf("waits for the shards of attempt %d to stop", q.Attempt), true
	case q.SinceLoss < q.retryBackoff(s.LostAfter):
		return fmt.Sprintf("waits a moment, since attempt %d was lost at once", q.Attempt), false
	case !s.Store.Open:
		return "waits for the object store", true
	case s.Store.Full != "":
		return "waits for room: " + s.Store.Full, true
	case q.Needs > s.room:
		return fmt.Sprintf("waits for room: it takes about %s more of the object store, and %s are left",
			plan.Bytes(q.Needs), plan.Bytes(s.room)), true
	case len(s.usable) == 0:
		return "waits for a shard to register", false
	case want > len(s.usable):
		return fmt.Sprintf("waits for %s, %s registered", plan.Shards(want), are(len(s.usable))), false
	case !anyWrites(s.usable, format):
		return fmt.Sprintf("waits for a shard that can write %s", format), false
	case want == 0 && s.Now.Before(s.GraceUntil):
		return "waits for the shards to register again", true
	case len(s.free) < max(want, 1):
		return fmt.Sprintf("waits for %s, %s of %d idle", plan.Shards(max(want, 1)), are(len(s.free)),
			len(s.usable)), true
	case s.onlyBlamedFree(q):
		return "waits for a shard on which it has not failed", true
	case !anyWrites(s.free, format):
		return fmt.Sprintf("waits for an idle shard that can write %s", format), true
	}
	return "", false
}

// worksOn reports whether a node still works on an earlier attempt of the job.
func (s *scheduler) worksOn(id job.ID) bool {
	return slices.ContainsFunc(s.usable, func(n Node) bool { return !n.Idle && n.Job == id })
}

// onlyBlamedFree reports whether the job has failed on every free node, but not on every usable
// one. It then waits for a better one, since five failures of its own in a row would end it.
func (s *scheduler) onlyBlamedFree(q Queued) bool {
	good := func(n Node) bool { return !q.Blamed[n.ID] }
	return !slices.ContainsFunc(s.free, good) && slices.ContainsFunc(s.usable, good)
}

// preempt picks the running jobs of a lower priority whose nodes, with those that are free, are as
// many as q needs: the lowest priority first, of equal ones the latest. If all of them together are
// not enough, none is stopped.
func (s *scheduler) preempt(q Queued) {
	lower := slices.DeleteFunc(slices.Clone(s.Running), func(r Running) bool {
		return r.Spec.Priority >= q.Spec.Priority || !r.yields()
	})
	slices.Reverse(lower)
	slices.SortStableFunc(lower, func(a, b Running) int { return a.Spec.Priority - b.Spec.Priority })

	have := slices.Clone(s.free)
	for i, r := range lower {
		for _, n := range s.usable {
			if slices.Contains(r.Plan.Nodes, n.ID) {
				have = append(have, n)
			}
		}
		if len(have) < max(q.wanted(), 1) || !anyWrites(have, q.Spec.Format) {
			continue
		}
		for _, victim := range lower[:i+1] {
			s.preempted[victim.ID] = fmt.Sprintf("job %s of priority %d takes its shards", q.ID,
				q.Spec.Priority)
		}
		return
	}
}

// running decides whether a job stops at its next step boundary, and why.
func (s *scheduler) running(r Running) Decision {
	if !r.yields() {
		return Decision{Action: Keep}
	}

	why, preempted := s.preempted[r.ID]
	if preempted && !r.Asked.IsZero() && s.Now.Sub(r.Asked) >= s.YieldWithin {
		return Decision{Action: Stop, Cause: Preempted, Why: why + ", in the middle of a long step"}
	}

	if rank := slices.IndexFunc(r.Plan.Nodes, s.drains); rank >= 0 {
		return Decision{Action: Yield, Cause: Drained, Why: fmt.Sprintf(
			"node %s (rank %d) is being drained", s.Draining[r.Plan.Nodes[rank]], rank)}
	}
	if preempted {
		return Decision{Action: Yield, Cause: Preempted, Why: why}
	}
	if why, pays := s.rebalance(r); pays {
		return Decision{Action: Yield, Cause: Rebalanced, Why: why}
	}

	if s.blocked || s.growing || len(s.free) == 0 {
		return Decision{Action: Keep} // others have a claim to the free nodes
	}
	note, pays := s.grow(r)
	if !pays {
		return Decision{Action: Keep, Why: note}
	}
	s.growing = true
	return Decision{Action: Yield, Cause: Grown, Why: note}
}

// drains reports whether the node gets no new work.
func (s *scheduler) drains(id job.NodeID) bool {
	_, ok := s.Draining[id]
	return ok
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}
