package coord

import (
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// alike is by how much the speeds of nodes may differ before windows are shared unevenly; what is
// measured on busy machines comes and goes.
const alike = 1.25

// A running job is stopped for it only after some steps of its attempt, when the slowest group then
// takes at most this part of the time.
const (
	balanceAfter = 3
	balanceMost  = 0.75
)

// shares returns the speeds of a mesh's window groups on nodes, by rank: nil where all are alike,
// where some are not known yet, and where a group is of ranks that wait for each other in a pass.
func shares(m job.Mesh, nodes []*node) []float64 {
	if m.Window < 2 || m.Ulysses > 1 {
		return nil
	}
	out := make([]float64, m.Window)
	for i, n := range nodes {
		if n == nil || n.beat.Speed <= 0 {
			return nil
		}
		if g := i / m.CFG; out[g] == 0 || n.beat.Speed < out[g] {
			out[g] = n.beat.Speed
		}
	}
	if slices.Max(out) <= alike*slices.Min(out) {
		return nil
	}
	return out
}

// slowest returns how long the slowest of window groups takes for its windows, in some unit.
func slowest(windows int, speeds, shares []float64) float64 {
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

// balance tells whether a running job is to stop at a step boundary so that its windows follow the
// speeds of its nodes, and why.
func (l *leader) balance(r job.Record) (note string, pays bool) {
	l.mu.Lock()
	p, ok := l.paces[r.ID]
	nodes := make([]*node, len(r.Plan.Nodes))
	for i, id := range r.Plan.Nodes {
		if n := l.nodes[id]; n != nil {
			seen := *n
			nodes[i] = &seen
		}
	}
	l.mu.Unlock()
	speeds := shares(r.Plan.Mesh, nodes)
	if !ok || p.attempt != r.Attempt || p.mean == 0 || speeds == nil {
		return "", false
	}
	windows := len(Load(l.c.fsm.model(), r.Spec).Windows(0))
	before, after := slowest(windows, speeds, r.Plan.Shares), slowest(windows, speeds, speeds)
	left := time.Duration(r.Spec.TotalSteps()-p.done-1) * p.mean
	saves := time.Duration(float64(left) * (1 - after/before))
	cost := p.setup + p.mean/2
	early := p.done < r.Plan.Resume.Step+balanceAfter
	if early || after > balanceMost*before || saves <= max(2*cost, growthLeast) {
		return "", false
	}
	return fmt.Sprintf("its shards differ in speed: sharing its windows unevenly saves %v and "+
		"costs %v", short(saves), short(cost)), true
}
