package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Drain says that a node gets no new work. What it works on moves to other nodes at a step
// boundary, and at the latest when the deadline is over.
type Drain struct {
	Node     job.NodeID `json:"node"`
	Since    time.Time  `json:"since"`
	Deadline time.Time  `json:"deadline"`
}

// drainsKept bounds the nodes that are being drained at a time.
const drainsKept = 4096

// DrainNode takes a node, by name or id, out of the scheduler's choice. Its work moves to others at
// the next step boundary, after within in any case; 0: at once. The answer is the node as it is
// afterwards; one whose process ended meanwhile is "gone". ErrNotLeader, ErrNotFound, or a
// *job.FieldError if several nodes have the name.
func (c *Core) DrainNode(name string, within time.Duration) (Node, error) {
	l, err := c.leader()
	if err != nil {
		return Node{}, err
	}
	n, err := l.findNode(name)
	if err != nil {
		return Node{}, err
	}

	if err := l.drain(n.reg.Node, within); err != nil {
		return l.describe(n), err
	}
	out := l.describe(n)
	if l.nodes[n.reg.Node] == nil {
		out.State = "gone"
	}
	return out, nil
}

// UndrainNode lets a drained node work again. The errors are those of DrainNode.
func (c *Core) UndrainNode(name string) (Node, error) {
	l, err := c.leader()
	if err != nil {
		return Node{}, err
	}
	n, err := l.findNode(name)
	if err != nil {
		return Node{}, err
	}
	_, err = c.commit(command{Kind: kindUndrain, Drain: &Drain{Node: n.reg.Node}})
	return l.describe(n), err
}

// drain commits that a node gets no new work.
func (l *leader) drain(id job.NodeID, within time.Duration) error {
	now := l.c.cfg.Now()
	_, err := l.c.commit(command{Kind: kindDrain,
		Drain: &Drain{Node: id, Since: now, Deadline: now.Add(within)}})
	if err == nil {
		l.c.log.Info("node is being drained", "node", id, "within", within)
		l.c.wake()
	}
	return err
}

// endDrains forgets the drains of nodes that are gone: a node that comes back has another id.
func (l *leader) endDrains() {
	now := l.c.cfg.Clock()
	for _, id := range slices.Sorted(maps.Keys(l.c.machine.drains())) {
		d := l.c.machine.drains()[id]
		if l.nodes[id] != nil || now.Before(l.graceUntil) ||
			l.drainKnownFor(d) < l.c.cfg.Timing.LostAfter {
			continue
		}
		if _, err := l.c.commit(command{Kind: kindUndrain, Drain: &Drain{Node: id}}); err != nil {
			l.c.log.Warn("cannot end a drain", "node", id, "error", err)
			return
		}
	}
}

// drain takes a node out of the scheduler's choice, or lets it back in. Of two orders to drain the
// earlier deadline counts.
func (s *state) drain(c command) error {
	if c.Drain == nil {
		return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	}
	if err := wire.CheckNodeID(c.Drain.Node); err != nil {
		return fmt.Errorf("cannot apply a %s command: %w", c.Kind, err)
	}

	d := *c.Drain
	s.drainChanges++
	if c.Kind == kindUndrain {
		delete(s.drains, d.Node)
		return nil
	}

	old, ok := s.drains[d.Node]
	if !ok && len(s.drains) >= drainsKept {
		return fmt.Errorf("cannot drain node %s: %d nodes are being drained", d.Node, drainsKept)
	}
	if ok && old.Deadline.Before(d.Deadline) {
		d.Deadline = old.Deadline
	}
	s.drains[d.Node] = d
	return nil
}
