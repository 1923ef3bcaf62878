package sim

import (
	"errors"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// A Setup shares all that a short run has: the cores of the coordinators, the log, the object
// store, machines with their processes, ranks, and the checkers. Three things differ. Nothing is
// left to chance, as the caller has drawn what happens. Ranks take as long as the caller says. And
// events that would say nothing new are left out, without which a day of a thousand devices would
// have hundreds of millions of them: see quiet.go.

// Setup is a cluster and what happens to it: who asks for what, and which machines fail. The seed
// decides ids alone, so all else is as the caller has drawn it.
type Setup struct {
	Seed   uint64
	Start  time.Time // the time of day at which it begins; zero: one in 2023
	Length time.Duration
	// Rest is how long it may go on behind Length until all jobs have ended.
	Rest time.Duration

	Models    job.Models // all machines have them, and load the first one
	Room      int        // of how many models a machine has in its memory
	Machines  []Machine
	Requests  []Request  // by time
	Incidents []Incident // in any order

	// Members is how many coordinators there are. Limits, Timing and CheckpointEvery are settings of
	// all of them; zero ones take the defaults of real coordinators.
	Members         int
	Limits          core.Limits
	Timing          core.Timing
	CheckpointEvery int

	// Times says what an attempt takes on machines, given by rank. It is asked once for each attempt.
	Times func(s job.Spec, m job.Mesh, on []int) Times
	// Begin is from an order to the time at which a rank has joined the others; Load is what loading a
	// model takes, Save what storing a checkpoint does, and Restart is until the process of a machine
	// runs again that has ended.
	Begin, Load, Save, Restart time.Duration

	// Full makes every heartbeat an event, which takes far longer and comes to the same.
	Full bool
	// Step is how far the points of Report.Series are apart.
	Step time.Duration
	// Watch is told at each of them how long the day has lasted, and returns whether it is to go on;
	// nil: it does.
	Watch func(since time.Duration) bool
}

// ErrStopped is what Simulate returns where Watch has stopped it.
var ErrStopped = errors.New("the simulation was stopped")

// Machine is a device with the process that serves it.
type Machine struct {
	// Name is of its own. Device is the kind, by which device time is metered; devices of one Host or
	// Rack say the same.
	Name, Device, Host, Rack string
	// What the shard says at its start: speed in multiplications and additions per second, memory in
	// bytes, types of products, what its links carry and how soon messages arrive there. With rates
	// nobody measures links.
	Speed  float64
	Memory int64
	DTypes []string
	Rates  topology.Rates
	Delays topology.Delays
	// From is when it is there for the first time.
	From time.Duration
}

// Request is a job that somebody asks for.
type Request struct {
	At time.Duration
	// Class is of what kind it is, for Report.Clips; no decision depends on it.
	Class   int
	Request job.Request
}

// Kind is what happens to machines or coordinators.
type Kind string

// Kinds of incidents.
const (
	Crash   Kind = "crash"   // processes end, and come back after For
	Hang    Kind = "hang"    // devices do not return; the processes are started anew
	Freeze  Kind = "freeze"  // processes stand still for For, and lose nothing
	Cut     Kind = "cut"     // no messages get out or in for For
	Slow    Kind = "slow"    // all takes Factor times as long for For
	Leader  Kind = "leader"  // the process of the leading coordinator ends, and comes back
	Drain   Kind = "drain"   // an operator drains nodes with Within, and undrains them after For
	Restart Kind = "restart" // processes are asked to leave, and come back after For
)

// Incident is one thing that happens, at a time.
type Incident struct {
	At   time.Duration
	Kind Kind
	// Machines are those that it happens to, by number; none for Leader.
	Machines []int
	// For is how long it lasts, Within the time that a drain gives to jobs, Factor how many times as
	// long a straggler takes.
	For, Within time.Duration
	Factor      float64
}

// Simulate runs a cluster until its time is over and all jobs have ended. The error is a *Failure
// if one of the promises that all runs are checked for was broken.
func Simulate(s Setup) (*Report, error) {
	w := s.world()
	if !w.runDay() {
		return nil, ErrStopped
	}
	if w.failure != nil {
		w.failure.Trace = w.trace
		return nil, w.failure
	}
	return w.day.report(), nil
}

// world makes the world of a setup, with everything that is going to happen in its queue: boots,
// the first request, which plans the next one, and all incidents.
func (s Setup) world() *world {
	w := emptyWorld(Options{Seed: s.Seed})
	if !s.Start.IsZero() {
		w.start, w.now = s.Start, s.Start
	}

	// The accounts and the pace have to be there when the first leader is elected.
	w.day = newDay(w, &s)
	w.pace = modelled{w, &s}
	w.models = s.Models
	w.raft = newRaft(w)

	for i, m := range s.Machines {
		n := &node{w: w, name: m.Name, number: i, models: s.Models, room: max(s.Room, 1)}
		n.place = place{host: m.Host, rack: m.Rack, speed: m.Speed, rates: m.Rates,
			delays: m.Delays, device: m.Device, memory: m.Memory, dtypes: m.DTypes}
		w.nodes = append(w.nodes, n)
		// Not all at the very same time, which no real ones do.
		w.after(m.From+time.Duration(i)*heartbeat/time.Duration(len(s.Machines)), n.boot)
	}

	w.clients = &clients{w: w, made: map[string]job.ID{}, gone: map[job.ID]bool{}}
	w.clients.left = len(s.Requests)
	w.day.arrive(0)
	for _, i := range s.Incidents {
		w.after(i.At, func() { w.day.happen(i) })
	}
	return w
}

// config is that of all coordinators.
func (d *day) config() core.Config {
	return core.Config{CheckpointEvery: d.s.CheckpointEvery, Limits: d.s.Limits, Timing: d.s.Timing,
		Heard: d.w.heard}
}

// tick is how often a leader looks at what time has brought.
func (w *world) tick() time.Duration {
	if w.day != nil {
		return w.day.s.Timing.Tick
	}
	return tick
}

// restart is how long the machine of a process that has left takes to start another one.
func (w *world) restart() time.Duration {
	if w.day != nil {
		return w.day.s.Restart
	}
	return w.between(time.Second, 10*time.Second)
}

// leaveWithin is how long a process that is to end gives its rank.
func (w *world) leaveWithin() time.Duration {
	if w.day != nil {
		return w.day.s.Timing.Yield
	}
	return 5 * time.Second
}

// runDay executes events until the day is over and all jobs have ended, or something is wrong. It
// returns false where it was stopped.
func (w *world) runDay() bool {
	d := w.day
	watched := time.Duration(0) // when it is next to be told

	end := w.start.Add(d.s.Length + d.s.Rest)
	for len(w.queue) > 0 && w.failure == nil {
		e := w.queue.pop()
		if e.at.After(end) {
			w.check.stuck()
			return true
		}

		w.now = e.at
		if since := d.since(); d.s.Watch != nil && since >= watched {
			watched = since + d.s.Step
			if !d.s.Watch(since) {
				return false
			}
		}
		w.stats.Events++
		e.do()
		d.settle()

		over := w.clients.done() && d.live == 0 && d.since() >= d.s.Length
		if over && w.check.ledger.settled() {
			d.finish()
			w.check.last()
			break
		}
	}
	return true
}

// settleAfter is how long the leader takes messages before it looks at the queue: what comes at the
// same time, as the ranks of a clip do that become idle, is one occasion to decide.
const settleAfter = 5 * time.Millisecond

// settle has the leader look at the queue soon, if there is something to see. A real one does so
// when no message waits, which under load is after several; to look after each would be most of a
// simulation, and decide no sooner than a few milliseconds do.
func (d *day) settle() {
	if d.settling {
		return
	}
	for _, m := range d.w.raft.cores {
		if !m.down && m.core.Unsettled() {
			d.settling = true
			d.w.after(settleAfter, func() {
				d.settling = false
				d.w.raft.settle()
			})
			return
		}
	}
}

// arrive sends the i-th request when its time has come, and then the next one.
func (d *day) arrive(i int) {
	if i == len(d.s.Requests) {
		return
	}
	r := d.s.Requests[i]
	d.w.after(d.w.start.Add(r.At).Sub(d.w.now), func() {
		d.arrive(i + 1)
		d.create(i, d.w.now)
	})
}

// create sends a request until a leader takes or refuses it. What is asked of a leader that goes at
// that moment is asked again of the next one, as a client of the API does: since is when it first
// was.
func (d *day) create(i int, since time.Time) {
	again := func() { d.w.after(500*time.Millisecond, func() { d.create(i, since) }) }
	k := d.w.raft.lead()
	if k == nil {
		again()
		return
	}
	r := d.s.Requests[i]
	k.Create(r.Request, func(rec job.Record, err error) { d.created(r.Class, since, rec, err, again) })
}

// happen carries an incident out. A machine whose process does not run is left alone: what has
// failed already cannot fail again, and an operator would not touch it.
func (d *day) happen(i Incident) {
	w := d.w
	if i.Kind == Leader {
		w.raft.crashLeader()
		return
	}
	for _, at := range i.Machines {
		n := w.nodes[at]
		if !n.up {
			continue
		}
		d.incidents[i.Kind]++

		switch i.Kind {
		case Crash:
			n.die()
			w.after(i.For, n.boot)
		case Hang:
			d.hang(n)
		case Freeze:
			n.freezeFor(i.For)
		case Cut:
			n.cutFor(i.For)
		case Slow:
			d.slow(n, i)
		case Drain:
			d.drain(n, i)
		case Restart:
			n.leave()
		}
	}
}

// hang makes a device stop returning. Without a rank nobody would notice, nor with one that waits
// for others: its process is started anew after an hour.
func (d *day) hang(n *node) {
	id := n.id
	n.hang()
	d.w.after(time.Hour, func() {
		if n.alive(id) {
			n.die()
			d.w.after(d.s.Restart, n.boot)
		}
	})
}

// slow makes a straggler of a machine for a while. A new process on it is as fast as others: that
// the device itself is slow for good would be another kind of machine.
func (d *day) slow(n *node, i Incident) {
	id := n.id
	n.slow = max(i.Factor, 1)
	d.w.after(i.For, func() {
		if n.alive(id) {
			n.slow = 1
		}
	})
}

// drain asks until a leader has heard it.
func (d *day) drain(n *node, i Incident) {
	id := n.id

	var ask func(on bool)
	ask = func(on bool) {
		k := d.w.raft.lead()
		if k == nil {
			d.w.after(time.Second, func() { ask(on) })
			return
		}
		if !n.alive(id) {
			return
		}

		// A node that is not registered at the moment has nothing to drain.
		if on {
			_, _ = k.DrainNode(string(id), i.Within)
		} else {
			_, _ = k.UndrainNode(string(id))
		}
	}
	ask(true)
	d.w.after(i.For, func() { ask(false) })
}
