package coord

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// node is a registered shard process.
type node struct {
	reg     wire.Registration
	beat    wire.Heartbeat
	since   time.Time
	started time.Time
	seen    time.Time
}

// writes reports whether the node can write a format.
func (n *node) writes(format string) bool {
	return len(n.reg.Capabilities) == 0 || slices.Contains(n.reg.Capabilities, format)
}

// departure is how a node went.
type departure struct {
	name, why string
	at        time.Time
	silent    time.Duration // how long it was not heard of
}

// working reports whether the node says that it is in a part of the job's live attempt in which a
// rank gets on by itself: steps and frames, not the object store.
func (n *node) working(r job.Record) bool {
	w := n.beat.Work
	if w.Job != r.ID || w.Attempt != r.Attempt {
		return false
	}
	return n.beat.Stage == job.StageDecode ||
		n.beat.Stage == job.StageDenoise && n.beat.Step < r.Spec.TotalSteps()
}

const wasLost = "was lost"

// departuresKept bounds the memory of nodes that are gone.
const departuresKept = 4096

// remove takes a node out; the caller holds the lock.
func (l *leader) remove(id job.NodeID, why string) {
	n := l.nodes[id]
	if n == nil {
		return
	}
	delete(l.nodes, id)
	if len(l.gone) >= departuresKept {
		oldest := id
		for other, d := range l.gone {
			if o, ok := l.gone[oldest]; !ok || d.at.Before(o.at) {
				oldest = other
			}
		}
		delete(l.gone, oldest)
	}
	now := l.c.cfg.Clock()
	l.gone[id] = departure{n.reg.Name, why, now, now.Sub(n.seen)}
	l.c.metrics.nodesLost.Inc()
	log := l.c.log.Info
	if strings.HasPrefix(why, wasLost) { // nobody asked it to go
		log = l.c.log.Warn
	}
	log("node gone", "node", id, "name", n.reg.Name, "why", why)
}

// dropSilent removes nodes that were not heard of for too long, and tells whether there were any.
func (l *leader) dropSilent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, limit, any := l.c.cfg.Clock(), l.c.cfg.Timing.LostAfter, false
	for _, n := range l.sorted() {
		id := n.reg.Node
		if silent := now.Sub(n.seen); silent > limit {
			l.remove(id, fmt.Sprintf("%s: silent for %v", wasLost, silent.Round(100*time.Millisecond)))
			any = true
		}
	}
	return any
}

// sorted returns the nodes by name, then id; the caller holds the lock.
func (l *leader) sorted() []*node {
	all := make([]*node, 0, len(l.nodes))
	for _, n := range l.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.reg.Name, b.reg.Name), cmp.Compare(a.reg.Node, b.reg.Node))
	})
	return all
}

// name returns a node's name, its id if it is unknown; the caller holds the lock.
func (l *leader) name(id job.NodeID) string {
	if n := l.nodes[id]; n != nil {
		return n.reg.Name
	}
	if d, ok := l.gone[id]; ok {
		return d.name
	}
	return string(id)
}

// routes lists the data-plane servers of all nodes but one; the caller holds the lock.
func (l *leader) routes(but job.NodeID) []string {
	var out []string
	for _, n := range l.sorted() {
		if n.reg.Node != but && n.reg.Route != "" {
			out = append(out, n.reg.Route)
		}
	}
	return out
}

// publishRoutes tells all nodes who is there.
func (l *leader) publishRoutes() {
	l.mu.Lock()
	msg := wire.Routes{Routes: l.routes("")}
	l.mu.Unlock()
	if err := l.out.publish(wire.SubjectRoutes, msg); err != nil {
		l.c.log.Warn("cannot publish routes", "error", err)
	}
}

// list describes the nodes for clients.
func (l *leader) list() []Node {
	drains := l.c.fsm.drains()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Node{}
	now := l.c.cfg.Clock()
	for _, n := range l.sorted() {
		d, draining := drains[n.reg.Node]
		state := string(n.beat.State)
		if n.beat.State == wire.Busy && l.stopping(n) {
			state = "stopping"
		}
		switch {
		case draining && n.beat.State == wire.Idle:
			state = "drained"
		case draining:
			state = "draining"
		}
		out = append(out, Node{ID: n.reg.Node, Name: n.reg.Name, Device: n.reg.Device,
			Threads: n.reg.Threads, Route: n.reg.Route, State: state, Deadline: d.Deadline,
			RSS: n.beat.RSS, Speed: n.offer().Speed, Memory: n.reg.Memory,
			Job: n.beat.Work.Job, Attempt: n.beat.Work.Attempt,
			Step: n.beat.Step, Since: n.since, LastSeen: now.Sub(n.seen), Version: n.reg.Version,
			Started: n.started})
	}
	return out
}

// stopping reports whether a node that works is to stop: what it works on is cancelled, or over and
// not complete.
func (l *leader) stopping(n *node) bool {
	r, live := l.live(n.reg.Node, n.beat.Work)
	return live && r.CancelRequested || !live && !l.over(n.beat)
}
