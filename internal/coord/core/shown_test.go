package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestTheSchedulerSeesWhatNodesAre has nodes come, work, measure and go, and jobs be placed and
// cancelled, at random. What the scheduler is shown is what a look at all nodes gives.
func TestTheSchedulerSeesWhatNodesAre(t *testing.T) {
	w := leads(t)
	l, rng := w.k.lead, rand.New(rand.NewPCG(1, 2))
	var jobs []job.ID
	node := func() job.NodeID { return job.NodeID(fmt.Sprint("n", rng.IntN(8))) }
	for i := range 8 {
		w.join(job.NodeID(fmt.Sprint("n", i)))
	}
	events := []func(){
		func() { w.join(node()) },
		func() { jobs = append(jobs, w.create(1+rng.IntN(2))) },
		func() { w.take() },
		func() {
			if len(w.orders) > 0 {
				w.orders[0].done(errNoAnswer)
				w.orders = w.orders[1:]
			}
		},
		func() { _ = w.k.Cancel(jobs[rng.IntN(len(jobs))]) },
		func() { say[wire.Ack](w, wire.Goodbye{Node: node()}) },
		func() { w.pass(time.Duration(rng.IntN(2000)) * time.Millisecond) },
		func() { _, _ = w.k.DrainNode(string(node()), time.Minute) },
		func() { _, _ = w.k.UndrainNode(string(node())) },
		func() {
			say[wire.Pulse](w, wire.Heartbeat{Node: node(), State: wire.Idle,
				Speed: float64(rng.IntN(3)), Loaded: []string{"demo"}})
		},
	}

	jobs = append(jobs, w.create(1))
	for range 1000 {
		events[rng.IntN(len(events))]()
		if have, want := l.schedulerNodes(), l.allNodes(); len(want) > 0 &&
			!reflect.DeepEqual(have, want) {
			t.Fatalf("the scheduler is shown %+v; the nodes are %+v", have, want)
		}
		speed := l.speed("demo")
		if clear(l.shown.speeds); l.speed("demo") != speed {
			t.Fatalf("nodes have a speed of %v, remembered was %v", l.speed("demo"), speed)
		}
	}

	placed := 0
	for _, id := range jobs {
		placed += int(w.record(id).Attempt)
	}
	if placed < 10 {
		t.Errorf("%d attempts of %d jobs were placed", placed, len(jobs))
	}
}
