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
	for _, q := range s.inTurn() {
		s.decide(q.Record, s.queued(q))
	}
	for i := range v.Running {
		r := &v.Running[i]
		s.decide(r.Record, s.running(r))
	}
	return s.decisions
}

// scheduler is the state of one round.
type scheduler struct {
	View
	usable []*Node // those that are not draining
	free   []*Node // of these, the ones that are idle and in no live plan
	// kins are the jobs that need the same, by what that is, and lately those that were asked for
	// last: most jobs in a row are alike.
	kins   map[string]*kin
	lately *kin
	// waiting are the queued jobs that were not placed in this round so far.
	waiting []*Queued
	room    int64 // bytes of the store that jobs placed later in this round may take

	// claims are nodes for which jobs wait, of each kin or all: those behind them must not overtake
	// them there. claimed are all of these, nil until they are asked for.
	claims    [][]*Node
	allAsked  bool // a job waits for all nodes
	claimed   map[job.NodeID]bool
	preempted map[job.ID]string // running jobs that yield to a blocked one, and why
	growing   bool              // a job moves to more nodes; one at a time
	decisions []Decision

	// runningOf and runningIn count the jobs of owners and of teams that run, or start in this round.
	runningOf, runningIn map[string]int
	// over is what owners, and overGroup what their groups, have taken beyond what they are charged
	// with, by weight as in a Ledger.
	over      map[Payer]int64
	overGroup map[string]int64
	// ahead counts the jobs so far that wait and may run; aheadOf those of each owner.
	ahead   int
	aheadOf map[string]int
}

// newScheduler finds the nodes that may be used in this round.
func newScheduler(v View) *scheduler {
	s := &scheduler{View: v, room: v.Store.Room, preempted: map[job.ID]string{},
		kins:      map[string]*kin{},
		runningOf: map[string]int{}, runningIn: map[string]int{},
		aheadOf: map[string]int{}, decisions: make([]Decision, 0, len(v.Queued)+len(v.Running))}
	if s.Ledger == nil {
		s.Ledger = NewLedger()
	}
	if s.Known == nil {
		s.Known = new(Known)
	}

	for i := range v.Running {
		s.count(v.Running[i].Record)
	}
	s.countOver()
	s.waiting = make([]*Queued, 0, len(v.Queued))
	for i := range v.Queued {
		if q := &v.Queued[i]; s.limited(q.Owner, q.Team) == "" { // else it does not wait for nodes
			s.waiting = append(s.waiting, q)
		}
	}
	if !Quiet(v) {
		s.listNodes()
	}
	return s
}

// Quiet reports whether nothing is decided about nodes: no job waits, and none that runs may come
// to get others. A view of which that is so needs no Nodes.
func Quiet(v View) bool {
	for i := range v.Running {
		if r := &v.Running[i]; r.sharesWindows() || !r.hasAll() {
			return false
		}
	}
	return len(v.Queued) == 0
}

// listNodes finds the nodes that may be used in this round.
func (s *scheduler) listNodes() {
	taken := s.Taken
	if taken == nil {
		taken = map[job.NodeID]job.ID{}
		for i := range s.Running {
			for _, id := range s.Running[i].Plan.Nodes {
				taken[id] = s.Running[i].ID
			}
		}
	}

	s.usable = s.usableNodes()
	for _, n := range s.usable {
		if !n.Idle {
			continue
		}

		// A node of a new attempt may not have said yet that it works.
		if _, busy := taken[n.ID]; !busy {
			s.free = append(s.free, n)
		}
	}
}

// decide adds a decision.
func (s *scheduler) decide(r *job.Record, d Decision) {
	d.Job = r
	s.decisions = append(s.decisions, d)
}

// count notes that a job runs, or is about to.
func (s *scheduler) count(r *job.Record) {
	s.runningOf[r.Owner]++
	s.runningIn[r.Team]++
}

// queued places the job, or says why it waits and behind how many others.
func (s *scheduler) queued(q *Queued) Decision {
	if why := s.limited(q.Owner, q.Team); why != "" {
		return Decision{Action: Wait, Why: why, Ahead: s.ahead}
	}

	d, blocks := s.start(q)
	switch d.Action {
	case Place:
		s.count(q.Record)
		d.Payer, d.Cost = s.payer(q.Owner, q.Team), q.Cost
	case Wait:
		d.Ahead = s.ahead
		if d.Passed || blocks != nothing {
			s.ahead++
			s.aheadOf[q.Owner]++
		}
	}
	return d
}

// start places the job, or says why it waits and what it keeps for itself meanwhile.
func (s *scheduler) start(q *Queued) (Decision, blocking) {
	why, blocks := s.obstacle(q)
	if why == "" {
		nodes := s.candidates(q)
		switch {
		case nodes == nil:
			why, blocks = "waits for its turn", itsNodes
		case s.letsPass(q, nodes):
			return Decision{Action: Wait, Passed: true, Why: fmt.Sprintf(
				"waits while jobs of models that are loaded go first, for %v at most", s.patience())}, nothing
		default:
			return s.place(q, nodes), nothing
		}
	}

	if turn := s.itsTurn(q); turn != "" && blocks == itsNodes {
		why = turn
	}
	// Who waits behind others does not take nodes from running jobs before those have theirs.
	if blocks != nothing && !s.behindOthers(q) {
		s.preempt(q)
	}
	s.claim(q, blocks)
	return Decision{Action: Wait, Why: why}, blocks
}

// obstacle says why a job cannot start now, "" if it can, and what it keeps for itself meanwhile.
// Jobs that are alike are kept from starting by the same.
func (s *scheduler) obstacle(q *Queued) (why string, blocks blocking) {
	if len(q.Losses) > 0 || len(q.Blamed) > 0 || q.SinceLoss < s.LostAfter {
		return s.obstacleTo(q)
	}

	k, is := s.kinOf(&q.Spec), likeness{q.wanted(), q.Spec.Format, q.Needs}
	for i := range k.obstacles {
		if o := &k.obstacles[i]; o.likeness == is {
			return o.why, o.blocks
		}
	}
	why, blocks = s.obstacleTo(q)
	if len(k.obstacles) < likenessesMost {
		k.obstacles = append(k.obstacles, obstacle{is, why, blocks})
	}
	return why, blocks
}

// obstacleTo is obstacle for a job alone.
func (s *scheduler) obstacleTo(q *Queued) (why string, blocks blocking) {
	want, format := q.wanted(), q.Spec.Format
	usable, free := s.usableBy(q), s.freeBy(&q.Spec)

	// First what concerns the job or the store alone, then which nodes exist, then which are free.
	switch {
	case q.SinceLoss < s.LostAfter && s.worksOn(q.ID):
		return fmt.Sprintf("waits for the shards of attempt %d to stop", q.Attempt), itsNodes
	case q.SinceLoss < q.retryBackoff(s.LostAfter):
		return fmt.Sprintf("waits a moment, since attempt %d was lost at once", q.Attempt), nothing
	case !s.Store.Open:
		return "waits for the object store", everything
	case s.Store.Full != "":
		return "waits for room: " + s.Store.Full, everything
	case q.Needs > s.room:
		return fmt.Sprintf("waits for room: it takes about %s more of the object store, and %s are left",
			plan.Bytes(q.Needs), plan.Bytes(s.room)), everything
	case len(s.usable) == 0:
		return "waits for a shard to register", nothing
	case len(usable) == 0:
		return fmt.Sprintf("waits for a shard that has model %q%s", q.Spec.Model, itsNeeds(q)), nothing
	case want > len(usable):
		return fmt.Sprintf("waits for %s%s, %s registered", plan.Shards(want), s.withModel(q),
			are(len(usable))), nothing
	case !anyWrites(usable, format):
		return fmt.Sprintf("waits for a shard that can write %s", format), nothing
	case want == 0 && s.Now.Before(s.GraceUntil):
		return "waits for the shards to register again", itsNodes
	case len(free) < max(want, 1):
		return fmt.Sprintf("waits for %s%s, %s of %d idle", plan.Shards(max(want, 1)), s.withModel(q),
			are(len(free)), len(usable)), itsNodes
	case onlyBlamed(q, free) && !onlyBlamed(q, usable):
		return "waits for a shard on which it has not failed", itsNodes
	case !anyWrites(free, format):
		return fmt.Sprintf("waits for an idle shard that can write %s", format), itsNodes
	}
	return "", nothing
}

// withModel says which shards a job waits for, where there are others.
func (s *scheduler) withModel(q *Queued) string {
	if len(s.usableBy(q)) == len(s.usable) {
		return ""
	}
	return fmt.Sprintf(" with model %q%s", q.Spec.Model, itsNeeds(q))
}

// itsNeeds says what else shards must have.
func itsNeeds(q *Queued) (needs string) {
	if len(q.Spec.Needs()) > 0 {
		needs = " and the job's LoRAs"
	}
	if !job.HasDType(nil, q.Spec.DType) {
		needs += " and computes in " + q.Spec.DType
	}
	return needs
}

// worksOn reports whether a node still works on an earlier attempt of the job.
func (s *scheduler) worksOn(id job.ID) bool {
	return slices.ContainsFunc(s.usable, func(n *Node) bool { return !n.Idle && n.Job == id })
}

// onlyBlamed reports whether the job has failed on every one of the nodes. It then waits for a
// better one, if there is one, since five failures of its own in a row would end it.
func onlyBlamed(q *Queued, nodes []*Node) bool {
	return !slices.ContainsFunc(nodes, func(n *Node) bool { return !q.Blamed[n.ID] })
}

// preempt picks the running jobs of a lower priority whose nodes, with those that are free, are as
// many as q needs, of those that have its model: the lowest priority first, of equal ones the
// latest. If all of them together are not enough, none is stopped.
func (s *scheduler) preempt(q *Queued) {
	var lower []*Running
	for i := range s.Running {
		if r := &s.Running[i]; r.Spec.Priority < q.Spec.Priority && r.yields() {
			lower = append(lower, r)
		}
	}
	slices.Reverse(lower)
	slices.SortStableFunc(lower, func(a, b *Running) int { return a.Spec.Priority - b.Spec.Priority })

	have := slices.Clone(s.freeBy(&q.Spec))
	var victims []*Running
	for _, r := range lower {
		before := len(have)
		for _, id := range r.Plan.Nodes {
			if n := s.node(id); n != nil && !s.drains(id) && n.has(&q.Spec) {
				have = append(have, n)
			}
		}
		if len(have) == before {
			continue // none of its nodes has q's model
		}

		victims = append(victims, r)
		if len(have) < max(q.wanted(), 1) || !anyWrites(have, q.Spec.Format) {
			continue
		}
		for _, victim := range victims {
			s.preempted[victim.ID] = fmt.Sprintf("job %s of priority %d takes its shards", q.ID,
				q.Spec.Priority)
		}
		return
	}
}

// running decides whether a job stops at its next step boundary, and why.
func (s *scheduler) running(r *Running) Decision {
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
	if why := s.spent(r); why != "" {
		return Decision{Action: Yield, Cause: Spent, Why: why}
	}
	if preempted {
		return Decision{Action: Yield, Cause: Preempted, Why: why}
	}
	if why, pays := s.rebalance(r); pays {
		return Decision{Action: Yield, Cause: Rebalanced, Why: why}
	}

	if s.growing || !s.mayGrow(r) {
		return Decision{Action: Keep}
	}
	free := s.upTo(spare, r.Record, s.open(&r.Spec))
	if len(free) == 0 {
		return Decision{Action: Keep} // others have a claim to the free nodes
	}
	note, pays := s.grow(r, free)
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
