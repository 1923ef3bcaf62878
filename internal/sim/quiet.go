package sim

import (
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// A day of a thousand nodes has 177 million heartbeats, and nearly all of them say nothing new, nor
// bring an answer that does. Such a one is no event here: the leader asks when it would have heard
// the latest (core.Config.Heard). A node says itself what is new, and goes on with heartbeats as
// long as the answer may matter. Likewise ranks look for their peers only while one is missing.
//
// Setup.Full has every heartbeat be an event. A test holds that both come to the same decisions.

// latency is what a message takes in a Setup's network.
const latency = time.Millisecond

// quiet is what a process needs to know to keep still.
type quiet struct {
	booted  time.Time // heartbeats are due every so long after that
	beating bool      // heartbeats are events at present
	silence time.Time // since when nobody hears the process, if so
	slow    float64   // by how much it takes longer than it should
	account account
	told    said // what the leader of that term has answered to
	term    int
}

// said is what a heartbeat has that is new at times. What changes with every one, such as how long
// a rank has used its device, is not in there: the leader hears it when the rank ends.
type said struct {
	work            wire.Work
	loading, loaded string
	registered      bool
}

func (n *node) saying() said {
	s := said{loading: n.loading, registered: n.registered}
	if len(n.loaded) > 0 {
		s.loaded = n.loaded[0]
	}
	if n.work != nil {
		s.work = n.work.wire()
	}
	return s
}

// answered notes what the leader knows.
func (n *node) answered(s said) {
	n.told, n.term = s, 0
	if n.w.raft.leader >= 0 {
		n.term = n.w.stats.Terms
	}
}

// nothingNew reports whether heartbeats may be left out: the leader of this term has answered to
// one that said the same, and there is nothing that an answer could bring or that grows until it is
// heard, such as the time that a device hangs.
func (n *node) nothingNew() bool {
	d := n.w.day
	if d == nil || d.s.Full || !n.registered || n.leaving || n.hung || len(n.ended) > 0 ||
		n.told != n.saying() || n.term != n.w.stats.Terms {
		return false
	}
	k := n.work
	return k == nil || !k.over && !k.yield && !k.cancel
}

// due is when the latest heartbeat was due.
func (n *node) due(now time.Time) time.Time { return now.Add(-(now.Sub(n.booted) % heartbeat)) }

// wake has heartbeats be events again, from the next one on, which is due when it would have been
// all along.
func (n *node) wake() {
	if n.beating || !n.up || n.w.day == nil {
		return
	}
	n.beating = true
	id := n.id
	n.w.after(n.due(n.w.now).Add(heartbeat).Sub(n.w.now), func() { n.beat(id) })
}

// stir says at once what is new, as a shard does when its state changes, and goes on with
// heartbeats until the leader has answered.
func (n *node) stir() {
	if n.w.day == nil || !n.up {
		return
	}
	n.wake()
	n.say()
}

// silent notes that nobody hears the process from now on. It is called before whatever silences it,
// and does nothing where something else has done so already.
func (n *node) silent() {
	if n.reachable() {
		n.silence = n.w.now
	}
}

// heard returns when the leader would have heard the latest heartbeat of a process that was no
// event; zero: all are events.
func (w *world) heard(id job.NodeID) func() time.Time {
	n := w.byID[id]
	if n == nil {
		return func() time.Time { return time.Time{} }
	}
	return func() time.Time { return n.heardAs(id) }
}

func (n *node) heardAs(id job.NodeID) time.Time {
	if n.id != id || n.beating {
		return time.Time{}
	}

	w := n.w
	until := w.now
	if !n.reachable() {
		until = n.silence.Add(latency - 1) // what is due at that very moment is not sent
	}
	return n.due(until.Add(-latency)).Add(latency)
}
