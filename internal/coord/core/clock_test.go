package core

import (
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestADrainTakesItsTimeWhateverTheClockSays drains a node for a minute, and sets the time of day
// forward and back: what it works on goes on, until a minute has really passed.
func TestADrainTakesItsTimeWhateverTheClockSays(t *testing.T) {
	w := leads(t)
	w.join("a")
	id := w.create(1)
	starts := w.take()
	if _, err := w.k.DrainNode("a", time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, by := range []time.Duration{time.Hour, -2 * time.Hour, 1000 * time.Hour} {
		w.today = w.today.Add(by)
		w.tick()
		if r := w.record(id); r.State != job.Running || len(r.Losses) > 0 {
			t.Fatalf("with the clock set by %v: %+v", by, r.Losses)
		}
	}
	for range 70 {
		w.beat("a", &starts[0])
		w.pass(time.Second)
	}
	if r := w.record(id); len(r.Losses) != 1 {
		t.Errorf("after its time: %s, %+v", r.State, r.Losses)
	}
}

// TestInputsStayWhateverTheClockSays sets the time of day forward while an input waits for its job.
func TestInputsStayWhateverTheClockSays(t *testing.T) {
	w := leads(t)
	w.k.LeaseInput(object("in"), func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, by := range []time.Duration{0, 1000 * time.Hour, -2000 * time.Hour} {
		w.today = w.today.Add(by)
		if w.k.lead.lapsed()["in"] {
			t.Fatalf("with the clock set by %v the input is given up", by)
		}
	}
	w.clock = w.clock.Add(leaseTime + 1)
	if !w.k.lead.lapsed()["in"] {
		t.Error("after its time the input is kept")
	}
}

// TestADrainOfANodeThatLeavesIsDone has a node say goodbye while its drain is being committed.
func TestADrainOfANodeThatLeavesIsDone(t *testing.T) {
	w := leads(t)
	w.join("a")
	w.committing = func() { w.k.lead.removeNode("a", "was shut down") }
	if n, err := w.k.DrainNode("name-a", 0); err != nil || n.State != "gone" || n.Name != "name-a" {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestNoNodeIsLostBecauseTheLeaderWasSlow has a commit take longer than a node may be silent. The
// heartbeats that came meanwhile are handled before the next tick, and a node that did not send any
// is given its time again. One that stays silent is lost all the same.
func TestNoNodeIsLostBecauseTheLeaderWasSlow(t *testing.T) {
	w := leads(t)
	w.join("a")
	w.join("b")
	w.tick()
	heard := w.clock // by now, and no later, all were heard
	w.committing = func() { w.clock = w.clock.Add(time.Minute) }
	w.create(1)
	w.committing = nil
	w.k.Tick(heard) // it was due before the commit
	w.beat("a", nil)
	w.k.Tick(w.clock)
	if n := w.k.NodeCount(); n != 2 {
		t.Fatalf("%d of 2 nodes are there after a slow commit", n)
	}
	for range 40 {
		w.beat("a", nil)
		w.pass(100 * time.Millisecond)
	}
	nodes, err := w.k.Nodes()
	if err != nil || len(nodes) != 1 || nodes[0].ID != "a" {
		t.Errorf("after four seconds there are %+v, %v", nodes, err)
	}
}

// TestASilentNodesJobIsLost loses the node of a job that runs.
func TestASilentNodesJobIsLost(t *testing.T) {
	w := leads(t)
	w.join("a")
	id := w.create(1)
	starts := w.take()
	w.beat("a", &starts[0])
	for range 40 {
		w.pass(100 * time.Millisecond)
	}
	r := w.record(id)
	if len(r.Losses) != 1 || r.State != job.Queued {
		t.Fatalf("%s, %+v", r.State, r.Losses)
	}
	if p := say[wire.Pulse](w, wire.Heartbeat{Node: "a"}); !p.Register {
		t.Errorf("the lost node is answered %+v", p)
	}
}

// TestASlowStartTakesNothingOffTheTimeOfGrace has a new leader be slow at first. The node that rank
// 0 ran on is back, and has all of the time to say that it still does.
func TestASlowStartTakesNothingOffTheTimeOfGrace(t *testing.T) {
	w := leads(t)
	w.join("a")
	id := w.create(1)
	w.take()
	w.k.Resign()
	w.k.Lead()
	timing := w.k.cfg.Timing
	slow := timing.LostAfter/2 + 100*time.Millisecond
	w.pass(slow)
	w.join("a")
	for at := slow; at < timing.Grace; at += 100 * time.Millisecond {
		if w.record(id).State != job.Running {
			t.Fatalf("the job is given up after %v of %v", at, timing.Grace)
		}
		w.beat("a", nil)
		w.pass(100 * time.Millisecond)
	}
}
