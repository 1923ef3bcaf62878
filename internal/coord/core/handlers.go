package core

import (
	"errors"
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// onRegister takes a node into the table if the cluster takes one of its models at least.
func (l *leader) onRegister(from string, r wire.Registration, reply func(wire.Welcome)) {
	if err := l.checkPlace(from, r); err != nil {
		reply(wire.Welcome{Reason: err.Error()})
		return
	}
	models, refused, err := l.agreeOnModels(r)
	if err != nil {
		reply(wire.Welcome{Reason: err.Error(), Final: !errors.Is(err, ErrNotLeader)})
		return
	}
	if err := l.admit(from, r, models, refused); err != nil {
		reply(wire.Welcome{Reason: err.Error()})
		return
	}
	l.learnTypes(l.nodes[r.Node])
	t := l.c.cfg.Timing
	w := wire.Welcome{Accepted: true, Leader: l.c.cfg.ID, Interval: t.Heartbeat,
		LostAfter: t.LostAfter, Routes: l.routes(r.Node), Refused: refused}

	stale := r.Work != (wire.Work{}) && !l.noteWork(r.Node, r.Work)
	l.c.wake()

	if !stale {
		reply(w)
		return
	}
	l.c.world.Confirm(during(l, func(leads bool) {
		w.Stop = leads
		reply(w)
	}))
}

// checkPlace refuses a node that says it is where a node of another identity is: at its route,
// where it would take that one's place in the table, or in its process.
func (l *leader) checkPlace(from string, r wire.Registration) error {
	for _, n := range l.sortedNodes() {
		if n.identity == from {
			continue
		}
		if r.Route != "" && n.reg.Route == r.Route {
			return fmt.Errorf("route is %s, which is that of shard %s; allowed: one of its own", r.Route,
				n.identity)
		}
		if r.ProcessID != "" && n.reg.ProcessID == r.ProcessID {
			return fmt.Errorf("start is %s, which is that of shard %s; allowed: one of its own",
				r.ProcessID, n.identity)
		}
	}
	return nil
}

// admit puts a node into the table, in the place of an earlier process at the same route. It
// refuses one whose results would differ in their bits from those of the nodes that are there.
func (l *leader) admit(from string, r wire.Registration, models, refused []string) error {
	for id, n := range l.nodes {
		// Shards of one process share its data plane.
		sibling := r.ProcessID != "" && n.reg.ProcessID == r.ProcessID
		if id != r.Node && r.Route != "" && n.reg.Route == r.Route && !sibling {
			l.removeNode(id, "was replaced by a new process at "+r.Route)
		}
	}
	for id, n := range l.nodes {
		if id != r.Node && n.reg.Arithmetic != r.Arithmetic {
			return fmt.Errorf("the shards of this cluster compute with %s, this one with %s, which "+
				"rounds differently; %s", n.reg.Arithmetic, r.Arithmetic,
				oneArithmetic(n.reg.Arithmetic, r.Arithmetic))
		}
	}

	old := l.nodes[r.Node]
	if old == nil && len(l.nodes) >= l.c.cfg.Limits.Nodes {
		return fmt.Errorf("%d nodes are registered; allowed: %d", len(l.nodes), l.c.cfg.Limits.Nodes)
	}
	if old == nil && from != "" && l.owned(from) >= identityNodes {
		return fmt.Errorf("%d nodes of shard %s are registered; allowed: %d", identityNodes, from,
			identityNodes)
	}

	now := l.c.cfg.Clock()
	n := &node{reg: r, identity: from, since: now, seen: now, started: now.Add(-r.Uptime),
		models:  models,
		refused: refused, idleSince: now, loras: lorasOf(r)}
	n.beat = wire.Heartbeat{Node: r.Node, State: wire.Idle, Work: r.Work, Loaded: r.Loaded}
	if r.Work != (wire.Work{}) {
		n.beat.State = wire.Busy
	}
	if l.c.cfg.Heard != nil {
		n.heard = l.c.cfg.Heard(r.Node)
	}
	if old != nil {
		n.since = old.since
	} else {
		l.logNewNode(r)
	}

	delete(l.gone, r.Node)
	l.putNode(n)
	return nil
}

// identityNodes is how many nodes one identity may have: more than a machine has GPUs, and so few
// that a certificate in wrong hands does not fill the table.
const identityNodes = 64

// owned counts the nodes of an identity.
func (l *leader) owned(identity string) (n int) {
	for _, o := range l.nodes {
		if o.identity == identity {
			n++
		}
	}
	return n
}

// oneArithmetic says what gives two shards the same arithmetic.
func oneArithmetic(a, b string) string {
	onGPU := func(arithmetic string) bool { return strings.HasPrefix(arithmetic, "cuda") }
	if onGPU(a) != onGPU(b) {
		return "set device to cuda on all, or to cpu on all"
	}
	return "set LONGTAKE_CPU, or LONGTAKE_CUDA, to the same on all"
}

// logNewNode tells the operator of a node that was not there before.
func (l *leader) logNewNode(r wire.Registration) {
	l.c.log.Info("node registered", "node", r.Node, "name", r.Name, "device", r.Device,
		"start", r.ProcessID)
	if own := l.c.cfg.Version; r.Version != own {
		l.c.log.Warn("a node runs another version of longtake than this coordinator; update what is "+
			"older", "node", r.Node, "name", r.Name, "version", r.Version, "coordinator", own)
	}

	// One of the racks counts then, for all nodes of the host.
	for _, n := range l.sortedNodes() {
		if o := &n.reg; r.Host != "" && o.Host == r.Host && o.Rack != r.Rack {
			l.c.log.Warn("nodes of one host name different racks; give them the same rack, or hosts of "+
				"their own", "host", r.Host, "node", r.Node, "name", r.Name, "rack", r.Rack,
				"other", o.Name, "its_rack", o.Rack)
			return
		}
	}
}

// noteWork notes that a node says it works on w, and tells whether w is live.
func (l *leader) noteWork(id job.NodeID, w wire.Work) (live bool) {
	_, live = l.live(id, w)
	if live && w.Rank == 0 {
		l.rank0Seen[w.Job] = l.c.cfg.Clock()
	}
	return live
}

// onHeartbeat notes that a node is alive and what it does. The answer repeats what it may have
// missed: that its attempt is over, cancelled, or is to yield.
func (l *leader) onHeartbeat(h wire.Heartbeat, reply func(wire.Pulse)) {
	n := l.nodes[h.Node]
	if n == nil {
		reply(wire.Pulse{Register: true})
		return
	}
	l.meter(h.Node, h.Work, h.Usage, false)
	if settled := l.settle(h.Node, h.Ended); len(settled) > 0 {
		answer := reply
		reply = func(p wire.Pulse) {
			p.Settled = settled
			answer(p)
		}
	}
	if n = l.nodes[h.Node]; n == nil { // it left while that was committed
		reply(wire.Pulse{Register: true})
		return
	}
	// A node that has become idle may be what a job waits for.
	freed := n.beat.State != wire.Idle && h.State == wire.Idle
	n.beat, n.seen = h, l.c.cfg.Clock()
	if freed {
		n.idleSince = n.seen
		l.c.wake()
	}
	l.stir(n)

	switch {
	case h.Work == (wire.Work{}):
		reply(wire.Pulse{Probe: l.probe(n)})
	case l.noteWork(h.Node, h.Work):
		r, _ := l.c.machine.Record(h.Work.Job)
		_, yield := l.yieldRequests[r.ID]
		disk := l.c.world.Disk()
		reply(wire.Pulse{Cancel: r.CancelRequested, Yield: yield && !r.CancelRequested,
			Full: disk.Stage >= Full, Stuck: disk.Stage >= Stuck})
	case l.completed(h.Work):
		reply(wire.Pulse{}) // it ends by itself
	default:
		l.c.world.Confirm(during(l, func(leads bool) { reply(wire.Pulse{Stop: leads}) }))
	}
}

// completed reports whether w is of an attempt that completed its job.
func (l *leader) completed(w wire.Work) bool {
	r, ok := l.c.machine.Record(w.Job)
	return ok && r.State == job.Completed && r.Attempt == w.Attempt
}

// onGoodbye takes a node out of the table that shuts down and has no work.
func (l *leader) onGoodbye(g wire.Goodbye) wire.Ack {
	l.settle(g.Node, g.Ended)
	known := l.nodes[g.Node] != nil
	l.removeNode(g.Node, "was shut down")
	if known {
		l.c.wake()
	}
	return wire.Ack{OK: true}
}

// onLeave drains a node that was told to stop and still has work.
func (l *leader) onLeave(m wire.Leave) wire.Ack {
	if l.nodes[m.Node] == nil {
		return wire.Ack{OK: true}
	}
	if err := l.drain(m.Node, m.Within); err != nil {
		return notRecorded(err)
	}
	return wire.Ack{OK: true}
}

// onReport keeps the progress of a live attempt, in memory only: a clip has hundreds of steps, and
// what is lost with the leader comes again with the next one.
func (l *leader) onReport(r wire.Report) wire.Ack {
	p := r.Progress
	if !l.noteWork(r.Node, wire.Work{Job: p.Job, Attempt: p.Attempt}) {
		l.c.observer.StaleMessage()
		return wire.Ack{Reason: "this attempt is not live", Final: true}
	}
	l.progress[p.Job] = p
	pace := l.paces[p.Job]
	pace.Advance(p, l.c.cfg.Clock())
	l.paces[p.Job] = pace
	if n := l.nodes[r.Node]; n != nil {
		n.seen = l.c.cfg.Clock()
	}
	l.c.observer.JobChanged(p.Job)
	return wire.Ack{OK: true}
}

// refuse answers a message of an attempt that is not live.
func (l *leader) refuse(id job.ID, a job.Attempt) wire.Ack {
	l.c.observer.StaleMessage()
	return wire.Ack{Reason: fmt.Sprintf("attempt %d of job %s is not live", a, id), Final: true}
}

// notRecorded answers a message whose command was not committed. Sending it again helps unless the
// machine refused it.
func notRecorded(err error) wire.Ack {
	final := errors.Is(err, job.ErrTransition) || errors.Is(err, job.ErrStale) ||
		errors.Is(err, ErrNotFound)
	return wire.Ack{Reason: err.Error(), Final: final}
}
