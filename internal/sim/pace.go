package sim

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// pace says how long ranks take for what they do. What is drawn is drawn when it is asked for.
type pace interface {
	// start is from the order until the rank looks for its model, and load is for loading that.
	start() time.Duration
	load(k *work) time.Duration
	// text is for the prompts, before the first step.
	text(k *work) time.Duration
	// step is a denoising step, and pause what passes between two of them.
	step(k *work) time.Duration
	pause() time.Duration
	// save is until a checkpoint is stored.
	save() time.Duration
	// decoders is how many ranks decode, from the first one on; decode is what they take for it, and
	// encode what the first one takes behind that.
	decoders(k *work) int
	decode(k *work) time.Duration
	encode(k *work) time.Duration
}

// drawn is the pace of runs that are about faults: all is short, and differs each time.
type drawn struct{ w *world }

func (d drawn) start() time.Duration {
	return d.w.between(20*time.Millisecond, 300*time.Millisecond)
}
func (d drawn) load(*work) time.Duration { return d.w.between(50*time.Millisecond, 2*time.Second) }
func (d drawn) text(*work) time.Duration { return 0 }
func (d drawn) step(*work) time.Duration {
	return d.w.between(50*time.Millisecond, 400*time.Millisecond)
}
func (d drawn) pause() time.Duration { return d.w.between(time.Millisecond, 10*time.Millisecond) }
func (d drawn) save() time.Duration  { return d.w.between(time.Millisecond, 200*time.Millisecond) }
func (d drawn) decoders(*work) int   { return 1 }
func (d drawn) decode(*work) time.Duration {
	return d.w.between(100*time.Millisecond, time.Second)
}
func (d drawn) encode(*work) time.Duration { return 0 }

// Times is how long the parts of an attempt take on machines without a fault. Text is for the
// prompts, Step for each denoising step with all that ranks send each other, Decode for the frames
// and Encode for the file.
type Times struct {
	Text, Step, Decode, Encode time.Duration
	// Decoders is how many ranks decode, from the first one on; at least 1.
	Decoders int
}

// modelled is the pace of a Setup: nothing is drawn, so that equal attempts take the same time, but
// for stragglers.
type modelled struct {
	w *world
	s *Setup
}

func (m modelled) start() time.Duration     { return m.s.Begin }
func (m modelled) load(*work) time.Duration { return m.s.Load }
func (m modelled) text(k *work) time.Duration {
	if k.plan.Attempt > 1 { // what the first attempt has encoded is kept
		return 0
	}
	return m.times(k).Text
}
func (m modelled) pause() time.Duration { return 0 }
func (m modelled) save() time.Duration  { return m.s.Save }

// step is as slow as the slowest rank, since all wait for each other in every layer. That holds for
// meshes that share a pass; ranks of different windows wait for each other once in a step, which
// comes to the same.
func (m modelled) step(k *work) time.Duration {
	return time.Duration(float64(m.times(k).Step) * m.slowest(k, len(k.plan.Nodes)))
}

func (m modelled) decoders(k *work) int {
	return min(max(m.times(k).Decoders, 1), len(k.plan.Nodes))
}

func (m modelled) decode(k *work) time.Duration {
	return time.Duration(float64(m.times(k).Decode) * m.slowest(k, m.decoders(k)))
}

func (m modelled) encode(k *work) time.Duration {
	return time.Duration(float64(m.times(k).Encode) * m.slowest(k, 1))
}

// slowest is by how much the slowest of the first ranks takes longer than it should. One that is
// gone counts as fast: the step will not come to its end anyway.
func (m modelled) slowest(k *work, ranks int) float64 {
	most := 1.0
	for _, id := range k.plan.Nodes[:ranks] {
		if n := m.w.find(id); n != nil {
			most = max(most, n.slow)
		}
	}
	return most
}

// times asks once for each attempt, and each rank for itself: which of them asks makes no
// difference.
func (m modelled) times(k *work) Times {
	if k.times != (Times{}) {
		return k.times
	}
	on := make([]int, len(k.plan.Nodes))
	for rank, id := range k.plan.Nodes {
		on[rank] = m.w.machineOf(id)
	}
	k.times = m.s.Times(k.plan.Spec, k.plan.Mesh, on)
	return k.times
}

// machineOf returns the number of the machine of a process, which may have ended since it was
// placed; -1: no machine has had such a process.
func (w *world) machineOf(id job.NodeID) int {
	n := w.machine(id)
	if n == nil {
		return -1
	}
	return n.number
}
