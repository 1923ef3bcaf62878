package sched

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/topology"
)

const (
	// A running job is rebalanced only when its attempt has done some steps, and when the slowest
	// group then takes at most this part of the time that it takes now.
	rebalanceAfter = 3 // steps
	rebalanceMost  = 0.75

	// Jobs of larger clusters are looked at in turn, each every so many seconds: a prediction takes
	// milliseconds there.
	growAlways = 64 // nodes
	growTurns  = 8  // seconds

	// Moving a job must save at least this much, and twice what it costs.
	moveSavesLeast = time.Second
)

// grow tells whether a running job should move to more of the free nodes, as a note that clients
// see. It should if that shortens the rest of the clip by more than twice the cost of stopping and
// starting.
func (s *scheduler) grow(r *Running, free []*Node) (note string, pays bool) {
	m, known := s.Models.Named(r.Spec.Model)
	if !r.measured() || !known {
		return "", false
	}
	have := len(r.Plan.Nodes)
	if have+len(free) > growAlways && r.Asked.IsZero() && !s.turn(r.ID) {
		return "", false
	}
	factor, size, predicted := s.speedUp(m, r, free)
	if !predicted {
		mesh, err := arrange(m, r.Record, have+len(free), leastMemory(free))
		if err != nil {
			return "", false
		}
		size = mesh.Size()
		factor = float64(size) / float64(have)
	}
	if size <= have || factor <= 1 {
		return "", false
	}

	left := r.timeLeft()
	saves := left - time.Duration(float64(left)/factor)
	cost := r.moveCost() + loadTime(r.Spec.Model, free)
	pays = saves > max(2*cost, moveSavesLeast)
	verdict := "stays"
	if pays {
		verdict = "moves"
	}
	return fmt.Sprintf("%s idle; moving from %d to %d shards would save %v and cost %v, so it %s",
		are(len(free)), have, size, Rounded(saves), Rounded(cost), verdict), pays
}

// mayGrow reports whether a running job could move to more nodes if there were any: a step has been
// timed, and it has not got all that it asked for.
func (s *scheduler) mayGrow(r *Running) bool {
	have := len(r.Plan.Nodes)
	if r.hasAll() || !r.measured() {
		return false
	}
	_, most := asked(r.Record, have+len(s.free))
	return most > have
}

// hasAll reports whether a running job has as many nodes as it asked for.
func (r *Running) hasAll() bool {
	most := max(r.Spec.Shards, r.Spec.Mesh.Size())
	return r.Attempt > 0 && most > 0 && len(r.Plan.Nodes) >= most
}

// turn reports whether it is this second that a job is looked at.
func (s *scheduler) turn(id job.ID) bool {
	h := fnv.New32a()
	h.Write([]byte(id))
	return (s.Now.Unix()+int64(h.Sum32()))%growTurns == 0
}

// rebalance tells whether a running job should restart with windows shared by the speeds of its
// nodes, and why.
func (s *scheduler) rebalance(r *Running) (why string, pays bool) {
	if !r.measured() || !r.sharesWindows() || r.Pace.Done < r.Plan.Resume.Step+rebalanceAfter {
		return "", false
	}
	speeds := groupSpeeds(r.Plan.Mesh, s.nodesOf(r))
	m, known := s.Models.Named(r.Spec.Model)
	if !known || speeds == nil {
		return "", false
	}
	windows := len(plan.Load(m, r.Spec).Windows(0))
	before := busiest(windows, speeds, r.Plan.Shares)
	after := busiest(windows, speeds, speeds)
	saves := time.Duration(float64(r.timeLeft()) * (1 - after/before))
	cost := r.moveCost()

	if after > rebalanceMost*before || saves <= max(2*cost, moveSavesLeast) {
		return "", false
	}
	return fmt.Sprintf("its shards differ in speed: sharing its windows unevenly saves %v and "+
		"costs %v", Rounded(saves), Rounded(cost)), true
}

// sharesWindows reports whether groups of a running job may have more windows than others, by their
// speed: see topology.GroupSpeeds.
func (r *Running) sharesWindows() bool {
	return r.Plan.Mesh.Windows() > 1 && r.Plan.Mesh.Ulysses <= 1
}

// nodesOf returns the nodes of a job by rank, without an id where one is not registered.
func (s *scheduler) nodesOf(r *Running) []*Node {
	out := make([]*Node, len(r.Plan.Nodes))
	for rank, id := range r.Plan.Nodes {
		if out[rank] = s.node(id); out[rank] == nil {
			out[rank] = new(Node)
		}
	}
	return out
}

// groupSpeeds returns the speeds by which a mesh's window groups share the windows on nodes, which
// are by rank; nil: evenly.
func groupSpeeds(m job.Mesh, nodes []*Node) []float64 {
	var speeds []float64
	for _, n := range nodes {
		speeds = append(speeds, n.Speed)
	}
	return topology.GroupSpeeds(m, speeds)
}

// busiest returns how long the slowest window group takes for its windows, in an arbitrary unit.
// shares are those of the plan; nil: even.
func busiest(windows int, speeds, shares []float64) float64 {
	runs := partition.Even(windows, len(speeds))
	if shares != nil {
		runs = partition.Weighted(windows, shares)
	}
	most := 0.0
	for g, r := range runs {
		most = max(most, float64(r.Len())/speeds[g])
	}
	return most
}
