package coord

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Drain says that a node gets no new work. What it works on goes over to other nodes at a step
// boundary, at the latest when the deadline is over.
type Drain struct {
	Node     job.NodeID `json:"node"`
	Since    time.Time  `json:"since"`
	Deadline time.Time  `json:"deadline"`
}

// drainsKept bounds the nodes that are being drained at a time.
const drainsKept = 4096

// DrainNode implements Service.
func (c *Coordinator) DrainNode(_ context.Context, name string, within time.Duration,
) (Node, error) {
	l, err := c.leader()
	if err != nil {
		return Node{}, err
	}
	n, err := l.find(name)
	if err != nil {
		return n, err
	}
	if err := l.drain(n.ID, within); err != nil {
		return n, err
	}
	return l.after(n)
}

// after returns what became of a node; one whose process has ended meanwhile is "gone".
func (l *leader) after(n Node) (Node, error) {
	now, err := l.find(string(n.ID))
	if errors.Is(err, ErrNotFound) {
		n.State = "gone"
		return n, nil
	}
	return now, err
}

// UndrainNode implements Service.
func (c *Coordinator) UndrainNode(_ context.Context, name string) (Node, error) {
	l, err := c.leader()
	if err != nil {
		return Node{}, err
	}
	n, err := l.find(name)
	if err != nil {
		return n, err
	}
	if _, err := c.commit(command{Kind: kindUndrain, Drain: &Drain{Node: n.ID}}); err != nil {
		return n, err
	}
	return l.find(string(n.ID))
}

// find returns the node of a name or id.
func (l *leader) find(name string) (Node, error) {
	all := l.list()
	found := slices.DeleteFunc(all, func(n Node) bool {
		return n.Name != name && string(n.ID) != name
	})
	switch len(found) {
	case 0:
		return Node{}, fmt.Errorf("shard %.64q: %w", name, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return Node{}, &job.FieldError{Field: "node", Value: fmt.Sprintf("%.64q", name),
		Allowed: fmt.Sprintf("an id: %d shards have that name", len(found))}
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

// onLeave drains a node that was told to stop.
func (l *leader) onLeave(m wire.Leave) wire.Ack {
	l.mu.Lock()
	known := l.nodes[m.Node] != nil
	l.mu.Unlock()
	if !known {
		return wire.Ack{OK: true}
	}
	if err := l.drain(m.Node, m.Within); err != nil {
		return l.later(err)
	}
	return wire.Ack{OK: true}
}

// endDrains forgets the drains of nodes that are gone.
func (l *leader) endDrains() {
	now := l.c.cfg.Clock()
	drains := l.c.fsm.drains()
	for _, id := range slices.Sorted(maps.Keys(drains)) {
		d := drains[id]
		l.mu.Lock()
		there := l.nodes[id] != nil
		l.mu.Unlock()
		if there || now.Before(l.calm) || l.drainFor(d) < l.c.cfg.Timing.LostAfter {
			continue
		}
		if _, err := l.c.commit(command{Kind: kindUndrain, Drain: &Drain{Node: id}}); err != nil {
			l.c.log.Warn("cannot end a drain", "node", id, "error", err)
			return
		}
	}
}
