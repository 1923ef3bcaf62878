package core

import (
	"cmp"
	"slices"

	"github.com/longtake/longtake/internal/sched"
)

// What the scheduler sees of a thousand nodes takes longer to put together than all else of a
// round, and from one round to the next a few of them have changed. So it is kept.

// shown is what the scheduler saw of the nodes last, and what has changed since.
type shown struct {
	nodes   []sched.Node // as leader.sorted; nil: to be made anew, as nodes have come or gone
	changed []*node
	// deciding is set during a round, whose decisions point into nodes. Clients may ask meanwhile.
	deciding bool
	// speeds are those of leader.speed, by model, and known is what the scheduler remembers; nil: they
	// are to be made anew. drains is how many changes of drains there were then.
	speeds map[string]float64
	known  *sched.Known
	drains int
	// foreseen is of the nodes that are shown; without places it is to be found anew.
	foreseen foreseen
}

// showNodes puts the nodes into a view.
func (l *leader) showNodes(v *sched.View) {
	v.Nodes = l.schedulerNodes()
	if !l.shown.deciding {
		v.Known = l.shown.known
	}
}

// stir notes that the scheduler would see another node than before. All changes of what
// schedulerNode looks at go through here, putNode and dropNode.
func (l *leader) stir(n *node) {
	if !n.stirred {
		n.stirred = true
		l.shown.changed = append(l.shown.changed, n)
	}
}

// schedulerNodes returns the nodes as the scheduler sees them, by name and then id. The caller must
// not change them.
func (l *leader) schedulerNodes() []sched.Node {
	s := &l.shown
	if s.deciding {
		return l.allNodes()
	}

	if s.nodes == nil {
		s.nodes = l.allNodes()
		s.forget()
		for i, n := range l.sorted {
			n.shownAt = i
		}
	} else {
		for _, n := range s.changed {
			if n.shownAt < len(l.sorted) && l.sorted[n.shownAt] == n { // else it is gone
				s.show(l.schedulerNode(n), n.shownAt)
			}
		}
	}

	if changes := l.c.machine.state.drainChanges; s.drains != changes {
		s.forget()
		s.drains = changes
	}
	for _, n := range s.changed {
		n.stirred = false
	}
	clear(s.changed)
	s.changed = s.changed[:0]
	return s.nodes
}

// show puts a node in the place of what was seen of it.
func (s *shown) show(n sched.Node, at int) {
	old := &s.nodes[at]
	switch {
	case !slices.Equal(n.Models, old.Models), !slices.Equal(n.LoRAs, old.LoRAs),
		!slices.Equal(n.DTypes, old.DTypes):
		s.forget()
	case n.Speed != old.Speed, n.Rated != old.Rated:
		clear(s.speeds)
	}
	if !idleAlike(&n, old) {
		s.foreseen = foreseen{}
	}
	*old = n
}

// forget drops what followed from nodes as they were.
func (s *shown) forget() {
	s.speeds, s.known, s.foreseen = map[string]float64{}, new(sched.Known), foreseen{}
}

// speed is the mean of the nodes that have a model and get new work, in multiply-adds per second;
// 0: not known.
func (l *leader) speed(model string) float64 {
	s, drains := &l.shown, l.c.machine.drains()
	nodes := l.schedulerNodes()

	if v, ok := s.speeds[model]; ok && !s.deciding {
		return v
	}

	// In order, as sums of floats depend on it.
	sum, count := 0.0, 0
	for i := range nodes {
		n := &nodes[i]
		_, drained := drains[n.ID]
		if v := cmp.Or(n.Speed, n.Rated); v > 0 && !drained && slices.Contains(n.Models, model) {
			sum, count = sum+v, count+1
		}
	}

	mean := sum / float64(max(count, 1))
	if !s.deciding {
		s.speeds[model] = mean
	}
	return mean
}

// allNodes looks at all nodes.
func (l *leader) allNodes() []sched.Node {
	out := make([]sched.Node, 0, len(l.sorted))
	for _, n := range l.sorted {
		out = append(out, l.schedulerNode(n))
	}
	return out
}

// schedulerNode is a node as the scheduler sees it.
func (l *leader) schedulerNode(n *node) sched.Node {
	return sched.Node{ID: n.reg.Node, Name: n.reg.Name,
		Process: n.reg.ProcessID, Host: n.reg.Host, Rack: n.reg.Rack, Rates: n.rates(),
		Delays:  n.delays().Rounded(),
		Formats: n.reg.Capabilities, DTypes: n.reg.DTypes,
		Speed: n.beat.Speed, Rated: n.reg.Speed,
		Memory: n.reg.Memory,
		Idle:   l.idle(n), Job: n.beat.Work.Job, IdleSince: n.idleSince,
		Models: n.models, LoRAs: n.loras, Loaded: n.loaded(), LoadTime: n.beat.LoadTime}
}
