package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// node is a machine on which shard processes run, one after the other. Each boot is another process
// with an id of its own, so messages to an earlier one do not reach it. It does what package shard
// does, as far as coordinators can see.
type node struct {
	w    *world
	name string // of the machine, the same for all its processes
	// models are on its disk; room is how many of them its memory has room for.
	models job.Models
	room   int
	place  place
	number int        // of the machine, from 0
	boots  int        // how many processes there have been
	id     job.NodeID // of the process
	quiet

	up     bool // the process runs
	frozen bool // as by SIGSTOP: nothing happens, nothing is lost
	isCut  bool // no message gets out or in
	hung   bool // the device does not return: the process answers, the rank makes no progress

	leaving    bool            // SIGTERM was received: it ends when its rank has
	registered bool            // a leader has accepted it
	work       *work           // the rank that it runs; nil: none
	last       wire.StartOrder // the latest order that it accepted
	ended      []wire.Ended    // ranks that no leader has settled
	shelf
}

// heartbeat is how often a process reports, which is also the default of core.Timing.
const heartbeat = 500 * time.Millisecond

// boot starts a new process, unless one runs.
func (n *node) boot() {
	if n.up {
		return
	}
	n.w.check.ledger.died(n)
	delete(n.w.byID, n.id)
	n.boots++
	n.id = job.NodeID(fmt.Sprintf("%s-%d", n.name, n.boots))
	n.w.byID[n.id] = n
	n.up, n.frozen, n.isCut, n.hung, n.leaving = true, false, false, false, false
	n.registered, n.work = false, nil
	n.shelf = shelf{loaded: []string{n.models[0].Name}}
	n.quiet = quiet{booted: n.w.now, beating: true, slow: 1, account: n.account}
	n.changed()
	n.w.log("%s boots", n.id)
	n.beat(n.id)
}

// alive reports whether the process with this id runs.
func (n *node) alive(id job.NodeID) bool { return n.up && n.id == id }

// reachable reports whether messages of others reach the process and its own get out.
func (n *node) reachable() bool { return n.up && !n.frozen && !n.isCut }

// crash ends the process at once (kill -9, a power cut). The machine boots another one later.
func (n *node) crash() {
	if !n.up {
		return
	}
	n.die()
	n.w.after(n.w.between(100*time.Millisecond, 15*time.Second), n.boot)
}

// die ends the process at once.
func (n *node) die() {
	n.w.stats.Crashes++
	n.w.log("%s crashes", n.id)
	n.w.check.ledger.died(n)
	k := n.work
	n.silent()
	n.up, n.work = false, nil
	n.changed()
	if k != nil {
		k.disturb()
	}
}

// freeze stops the process for up to 12 s. That is often longer than the coordinators wait for it,
// so that it thaws with work of an attempt that is over.
func (n *node) freeze() {
	n.freezeFor(n.w.between(100*time.Millisecond, 12*time.Second))
}

func (n *node) freezeFor(d time.Duration) {
	n.w.stats.Freezes++
	n.w.log("%s freezes", n.id)
	n.silent()
	n.frozen = true
	n.disturb()
	n.w.after(d, func() {
		n.w.log("%s thaws", n.id)
		n.frozen = false
		n.stir()
	})
}

// cut takes the machine off the network for a while, in both directions.
func (n *node) cut() {
	n.cutFor(n.w.between(100*time.Millisecond, 12*time.Second))
}

func (n *node) cutFor(d time.Duration) {
	n.w.stats.Cuts++
	n.w.log("%s is cut off", n.id)
	n.silent()
	n.isCut = true
	n.disturb()
	n.w.after(d, func() {
		n.w.log("%s is reached again", n.id)
		n.isCut = false
		n.stir()
	})
}

// hang makes the device stop returning. Only a new process mends that; see heal.
func (n *node) hang() {
	n.w.log("%s hangs", n.id)
	n.hung = true
	n.stir()
}

// leave is SIGTERM: the process asks the coordinators for leave and ends.
func (n *node) leave() {
	if !n.up || n.leaving {
		return
	}
	n.w.log("%s leaves", n.id)
	n.leaving = true
	n.goAway(n.id)
}

// goAway ends a process that leaves, once it has no rank: it asks with every heartbeat until then,
// because each message may be lost.
func (n *node) goAway(id job.NodeID) {
	switch {
	case !n.alive(id):
		return
	case n.work == nil && !n.frozen:
		n.tell(wire.Goodbye{Node: id, Ended: slices.Clone(n.ended)}, nil)
		n.w.check.ledger.died(n)
		n.w.log("%s is gone", id)
		n.up = false
		n.changed()
		n.w.after(n.w.restart(), n.boot)
		return
	}
	n.tell(wire.Leave{Node: id, Within: n.w.leaveWithin()}, nil)
	n.w.after(heartbeat, func() { n.goAway(id) })
}

// heal ends everything that is wrong with the machine, for good.
func (n *node) heal() {
	n.frozen, n.isCut = false, false
	if n.hung {
		n.up = false
	}
	n.boot()
}

// tell sends a message to the leader, whichever it is. An answer counts only for the process that
// asked; reply may be nil.
func (n *node) tell(m any, reply func(any)) {
	if !n.reachable() {
		return
	}
	if reply == nil && n.w.day != nil { // no event for what nobody hears
		n.w.message(func() { n.w.raft.handle(m, nil) })
		return
	}
	id := n.id
	n.w.message(func() {
		n.w.raft.handle(m, func(a any) {
			if n.alive(id) && n.reachable() && reply != nil {
				reply(a)
			}
		})
	})
}

// beat is the life of the process id: it registers until a leader accepts it, and then sends
// heartbeats, which say what its rank does.
func (n *node) beat(id job.NodeID) {
	if !n.alive(id) {
		return
	}
	if n.nothingNew() {
		n.beating = false
		return
	}
	n.w.after(heartbeat, func() { n.beat(id) })
	n.say()
}

// say registers the process, or sends a heartbeat.
func (n *node) say() {
	id := n.id
	if !n.registered {
		r := wire.Registration{Node: id, Name: n.name, ProcessID: string(id),
			Model: n.models[0], More: n.models[1:], Loaded: n.loaded, Device: n.place.device,
			Arithmetic: "sim", Threads: 1, Host: n.place.host, Rack: n.place.rack, Speed: n.place.speed,
			Memory: n.place.memory, DTypes: n.place.dtypes, Rates: n.place.rates,
			Delays: n.place.delays,
			Route:  "nats-route://" + n.name + ":1"}
		if n.work != nil {
			r.Work = n.work.wire()
		}
		n.tell(r, n.onWelcome)
		return
	}

	h := wire.Heartbeat{Node: id, State: wire.Idle, Loaded: slices.Clone(n.loaded),
		LoadTime: n.loadTime, Ended: slices.Clone(n.ended)}
	if k := n.work; k != nil {
		h.Usage = k.usage()
		h.State, h.Work, h.Stage, h.Step = wire.Busy, k.wire(), k.stage, k.step
		h.Loading = n.loading
		if n.hung {
			h.Computing = n.w.now.Sub(k.since)
		}
	}
	said := n.saying()
	n.tell(h, func(a any) { n.onPulse(a, said) })
}

// onWelcome takes the answer to a registration. A leader that knows better stops the rank.
func (n *node) onWelcome(a any) {
	x, ok := a.(wire.Welcome)
	if !ok || !x.Accepted {
		return
	}
	n.registered = true
	if x.Stop && n.work != nil {
		n.work.stop()
	}
}

// onPulse takes the answer to a heartbeat. It repeats orders that may have been lost, and takes a
// request to yield back.
func (n *node) onPulse(a any, s said) {
	p, ok := a.(wire.Pulse)
	n.answered(s)
	n.ended = slices.DeleteFunc(n.ended, func(e wire.Ended) bool {
		return slices.Contains(p.Settled, e.Work)
	})

	switch k := n.work; {
	case !ok:
	case p.Register:
		n.registered = false
		n.wake()
	case k == nil:
	case p.Stop:
		k.stop()
	default:
		k.cancel = k.cancel || p.Cancel
		k.yield = p.Yield
	}
}

var errLost = errors.New("no answer")

// send delivers an order to a node and calls done once: with what the node said, or with errLost
// when limit is over. An order whose answer was lost may have been carried out all the same.
func (w *world) send(id job.NodeID, order any, limit time.Duration, done func(error)) {
	answered := false
	finish := func(err error) {
		if !answered {
			answered = true
			done(err)
		}
	}
	w.after(limit, func() { finish(errLost) })
	w.message(func() { w.deliver(id, order, finish) })
}

// deliver hands an order over. A frozen process takes it when it thaws, since its socket keeps it.
func (w *world) deliver(id job.NodeID, order any, finish func(error)) {
	n := w.find(id)
	if n == nil || n.isCut {
		return
	}
	if n.frozen {
		w.after(200*time.Millisecond, func() { w.deliver(id, order, finish) })
		return
	}
	err := n.take(order)
	w.message(func() { finish(err) })
}

// find returns the node on which the process with an id runs, nil if it has ended.
func (w *world) find(id job.NodeID) *node {
	if n := w.byID[id]; n != nil && n.alive(id) {
		return n
	}
	return nil
}

// take carries out an order; the error is why it is refused. Orders of attempts that the node does
// not work on are fulfilled already.
func (n *node) take(order any) error {
	switch o := order.(type) {
	case wire.StartOrder:
		return n.begin(o)

	// Three orders in one message: to yield at a boundary, to cancel at one, to stop at once.
	case wire.Stop:
		if k := n.work; k != nil && k.is(o.Job, o.Attempt) {
			switch {
			case o.Yield:
				k.yield = true
				n.wake() // to hear when it is taken back
			case o.Cancel:
				k.cancel = true
			default:
				k.stop()
			}
		}
	}
	return nil
}

// begin starts a rank, or says why not. A repeated order is acknowledged; one that comes late,
// after the rank has ended, must not start it again.
func (n *node) begin(o wire.StartOrder) error {
	if k := n.work; k != nil {
		if k.is(o.Plan.Job, o.Plan.Attempt) && k.rank == o.Rank {
			return nil
		}
		return errors.New("it still works")
	}
	if n.leaving {
		return errors.New("it is being drained")
	}
	if n.last.Plan.Job == o.Plan.Job && n.last.Plan.Attempt >= o.Plan.Attempt {
		return errors.New("it has had this attempt already")
	}

	n.last = o
	k := &work{n: n, id: n.id, plan: o.Plan, rank: o.Rank, since: n.w.now,
		began: n.w.now, stage: job.StageText}
	k.missing = make([]time.Time, len(o.Plan.Nodes))
	n.work = k
	if d := n.w.day; d != nil && o.Rank == 0 {
		c := d.clips[o.Plan.Job]
		c.works = append(c.works, k)
	}
	n.changed()
	n.stir()
	n.w.log("%s starts %s attempt %d rank %d at step %d", n.id, o.Plan.Job, o.Plan.Attempt, o.Rank,
		o.Plan.Resume.Step)
	n.w.after(n.w.pace.start(), k.loadModel)
	k.watching = true
	n.w.after(peerCheck, k.watch)
	return nil
}
