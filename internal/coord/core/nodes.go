package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// The table of nodes is filled by registrations and kept by heartbeats. A node that falls silent is
// taken out, and its jobs are given up; if it comes back it registers again, and is told to stop.

// node is a registered shard process.
type node struct {
	reg wire.Registration
	// identity is the name in the certificate under which it registered; empty in an open cluster.
	identity string
	beat     wire.Heartbeat // the latest
	since    time.Time      // of its registration; all by the leader's clock
	started  time.Time      // its process
	seen     time.Time      // when it was last heard
	// models names those of its models that the cluster takes from it; refused says why the others
	// are not among them. idleSince is when it became idle, as far as this leader knows.
	models    []string
	refused   []string
	idleSince time.Time
	probing   probing
	loras     []string // SHA-256 of those that the node has registered
	typesOf   string   // what the cluster's types were when the node's were last compared
	// shownAt is its place in what the scheduler saw of the nodes, stirred that this is not so any
	// more: see shown.
	shownAt int
	stirred bool
	heard   func() time.Time // see Config.Heard
}

// loaded names the models that are ready. A node of a single one says so only if it is new enough
// to know that there may be several.
func (n *node) loaded() []string {
	if len(n.beat.Loaded) == 0 && n.beat.Loading == "" && len(n.reg.More) == 0 {
		return n.models
	}
	return n.beat.Loaded
}

// lorasOf lists the SHA-256 of the LoRAs of a registration.
func lorasOf(r wire.Registration) (sums []string) {
	for _, m := range r.Models() {
		for _, f := range m.LoRAs {
			sums = append(sums, f.SHA256)
		}
	}
	return sums
}

// writes reports whether the node can write a format.
func (n *node) writes(format string) bool {
	return len(n.reg.Capabilities) == 0 || slices.Contains(n.reg.Capabilities, format)
}

// offer prefers the speed measured on clips to the one measured when the node started.
func (n *node) offer() plan.Offer {
	return plan.Offer{Speed: cmp.Or(n.beat.Speed, n.reg.Speed), Memory: n.reg.Memory}
}

// rates are what its links carry, as far as that is known.
func (n *node) rates() topology.Rates { return n.beat.Rates.Or(n.reg.Rates) }

// delays are how long messages take on its links, as far as that is known.
func (n *node) delays() topology.Delays { return n.beat.Delays.Or(n.reg.Delays) }

// working reports whether the node says that it is in a part of the job's live attempt in which a
// rank advances by itself: steps and frames, not the object store.
func (n *node) working(r *job.Record) bool {
	w := n.beat.Work
	if w.Job != r.ID || w.Attempt != r.Attempt {
		return false
	}
	return n.beat.Stage == job.StageDecode ||
		n.beat.Stage == job.StageDenoise && n.beat.Step < r.Spec.TotalSteps()
}

// departure is how a node left the table.
type departure struct {
	name, why string
	at        time.Time
	silent    time.Duration // how long it had not been heard
}

// departuresKept bounds the memory of nodes that are gone.
const departuresKept = 4096

// wasLost is how the reason begins where a node fell silent.
const wasLost = "was lost"

// removeNode takes a node out of the table, if it is there.
func (l *leader) removeNode(id job.NodeID, why string) {
	n := l.nodes[id]
	if n == nil {
		return
	}
	l.dropNode(n)
	if len(l.gone) >= departuresKept {
		l.forgetOldestDeparture()
	}
	now := l.c.cfg.Clock()
	l.gone[id] = departure{n.reg.Name, why, now, now.Sub(n.seen)}
	l.c.observer.NodeGone()

	log := l.c.log.Info
	if strings.HasPrefix(why, wasLost) { // nobody asked it to go
		log = l.c.log.Warn
	}
	log("node gone", "node", id, "name", n.reg.Name, "why", why)
}

func (l *leader) forgetOldestDeparture() {
	var oldest job.NodeID
	for id, d := range l.gone {
		if o, ok := l.gone[oldest]; !ok || d.at.Before(o.at) {
			oldest = id
		}
	}
	delete(l.gone, oldest)
}

// hear takes in the heartbeats that were not handled, since they say what the ones before did. All
// that such a one tells is that the node lives, and that a rank 0 is still at work. Real
// coordinators handle every heartbeat, and have nothing to do here.
func (l *leader) hear() {
	if l.c.cfg.Heard == nil {
		return
	}
	for _, n := range l.sortedNodes() {
		at := n.heard()
		if !at.After(n.seen) {
			continue
		}
		n.seen = at
		if w := n.beat.Work; w.Rank == 0 && w.Job != "" {
			if _, live := l.live(n.reg.Node, w); live {
				l.rank0Seen[w.Job] = at
			}
		}
	}
}

// dropSilent removes nodes that had not been heard for too long.
func (l *leader) dropSilent(heard time.Time) {
	for _, n := range l.sortedNodes() {
		if silent := heard.Sub(n.seen); silent > l.c.cfg.Timing.LostAfter {
			l.removeNode(n.reg.Node,
				fmt.Sprintf("%s: silent for %v", wasLost, silent.Round(100*time.Millisecond)))
		}
	}
}

// sortedNodes returns the nodes by name, then id. The caller must not change the list, which stays
// as it is while nodes come and go.
func (l *leader) sortedNodes() []*node { return l.sorted }

// byName orders nodes.
func byName(a, b *node) int {
	return cmp.Or(cmp.Compare(a.reg.Name, b.reg.Name), cmp.Compare(a.reg.Node, b.reg.Node))
}

// putNode puts a node into the table, in the place of an earlier registration of its id.
func (l *leader) putNode(n *node) {
	if old := l.nodes[n.reg.Node]; old != nil {
		l.dropNode(old)
	}
	l.nodes[n.reg.Node] = n
	at, _ := slices.BinarySearchFunc(l.sorted, n, byName)
	l.sorted = slices.Insert(slices.Clone(l.sorted), at, n)
	l.routesChanged, l.shown.nodes = true, nil
}

// dropNode takes a node out of the table, where it is.
func (l *leader) dropNode(n *node) {
	delete(l.nodes, n.reg.Node)
	at, _ := slices.BinarySearchFunc(l.sorted, n, byName)
	l.sorted = slices.Delete(slices.Clone(l.sorted), at, at+1)
	l.routesChanged, l.shown.nodes = true, nil
}

// nodeName returns a node's name, its id if it is unknown.
func (l *leader) nodeName(id job.NodeID) string {
	if n := l.nodes[id]; n != nil {
		return n.reg.Name
	}
	if d, ok := l.gone[id]; ok {
		return d.name
	}
	return string(id)
}

// routes lists the data-plane servers of all nodes except one.
func (l *leader) routes(except job.NodeID) []string {
	var out []string
	for _, n := range l.sortedNodes() {
		if n.reg.Node != except && n.reg.Route != "" {
			out = append(out, n.reg.Route)
		}
	}
	return out
}

// offers returns what the nodes that get new work bring to a clip of a model, for predictions.
func (l *leader) offers(model string) []plan.Offer {
	var out []plan.Offer
	for id, n := range l.nodes {
		if _, drained := l.c.machine.drains()[id]; !drained &&
			slices.Contains(n.models, model) {
			out = append(out, n.offer())
		}
	}
	return out
}

// Node is a registered shard process, as clients see it.
type Node = schema.Node

// Nodes returns the registered nodes, by name, or ErrNotLeader.
func (c *Core) Nodes() ([]Node, error) {
	l, err := c.leader()
	if err != nil {
		return nil, err
	}
	out := []Node{}
	for _, n := range l.sortedNodes() {
		out = append(out, l.describe(n))
	}
	return out, nil
}

// NodeCount returns how many nodes are registered, 0 on a follower.
func (c *Core) NodeCount() int {
	if c.lead == nil {
		return 0
	}
	return len(c.lead.nodes)
}

// describe says what clients see of a node.
func (l *leader) describe(n *node) Node {
	d, draining := l.c.machine.drains()[n.reg.Node]
	state := string(n.beat.State)
	switch {
	case draining && l.idle(n):
		state = "drained"
	case draining:
		state = "draining"
	case n.beat.State == wire.Busy && l.stopping(n):
		state = "stopping"
	}

	return Node{ID: n.reg.Node, Name: n.reg.Name, Identity: n.identity,
		Device: n.reg.Device, Threads: n.reg.Threads,
		Version: n.reg.Version, Route: n.reg.Route, State: state, Deadline: d.Deadline,
		Host: n.reg.Host, Rack: n.reg.Rack, Rates: n.rates(), Delays: n.delays(),
		Process: n.reg.ProcessID,
		RSS:     n.beat.RSS, Sent: n.beat.Sent, Speed: n.offer().Speed, Memory: n.reg.Memory,
		Models: n.models, Loaded: n.beat.Loaded, Loading: n.beat.Loading, Refused: n.refused,
		DeviceSeconds: n.beat.Metered.Seconds(), Job: n.beat.Work.Job,
		Attempt: n.beat.Work.Attempt, Step: n.beat.Step,
		Since: n.since, Started: n.started, LastSeen: l.c.cfg.Clock().Sub(n.seen)}
}

// stopping reports whether a node that works is to stop: what it works on is cancelled, or over and
// not complete.
func (l *leader) stopping(n *node) bool {
	r, live := l.live(n.reg.Node, n.beat.Work)
	return live && r.CancelRequested || !live && !l.completed(n.beat.Work)
}

// findNode returns the node of a name or id: ErrNotFound if there is none, a *job.FieldError if
// several have the name.
func (l *leader) findNode(name string) (*node, error) {
	var found []*node
	for _, n := range l.sortedNodes() {
		if n.reg.Name == name || string(n.reg.Node) == name {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("shard %.64q: %w", name, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return nil, &job.FieldError{Field: "node", Value: fmt.Sprintf("%.64q", name),
		Allowed: fmt.Sprintf("an id: %d shards have that name", len(found))}
}
