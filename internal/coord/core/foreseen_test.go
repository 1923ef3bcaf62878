package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// TestPlacesAreForeseen has nodes of several hosts come, measure, load and go at random. Where jobs
// would run is what the scheduler says when it is asked anew, and most of it is remembered.
func TestPlacesAreForeseen(t *testing.T) {
	w := leads(t)
	l, rng := w.k.lead, rand.New(rand.NewPCG(3, 4))
	m := demo()
	m.Cost = job.Cost{FFNDim: 512, Decode: 4e7, Pixels: 1 << 16}
	node := func() job.NodeID { return job.NodeID(fmt.Sprint("n", rng.IntN(6))) }
	join := func() {
		id, more := node(), m
		more.Name, more.Layers = "other", 6+2*rng.IntN(2)
		say[wire.Welcome](w, wire.Registration{Node: id, Name: string(id), Threads: 1, Model: m,
			More: job.Models{more}[:rng.IntN(2)], Host: fmt.Sprint("h", rng.IntN(2)),
			Speed: 1e11 * float64(rng.IntN(3)), Memory: int64(rng.IntN(2)) << 30,
			Rates: topology.Rates{Net: 1e8}, Route: "nats-route://" + string(id) + ":1"})
	}
	join()
	events := []func(){join, join,
		func() { say[wire.Ack](w, wire.Goodbye{Node: node()}) },
		func() { w.pass(time.Duration(rng.IntN(1000)) * time.Millisecond) },
		func() { _, _ = w.k.DrainNode(string(node()), time.Minute) },
		func() { _, _ = w.k.UndrainNode(string(node())) },
		func() {
			say[wire.Pulse](w, wire.Heartbeat{Node: node(), State: wire.Idle,
				Loaded: []string{"demo"}, Speed: 1e11 * float64(rng.IntN(3)),
				Rates: topology.Rates{Net: 1e8 * float64(rng.IntN(2))}})
		},
	}

	known, seen := 0, map[string]bool{}
	for range 400 {
		events[rng.IntN(len(events))]()
		for _, shards := range []int{0, 1, 2, 4} {
			s := spec()
			s.Shards, s.Seed = shards, rng.Uint64()
			s.Width = 96 << (4 * rng.IntN(2))
			before := len(l.shown.foreseen.places)
			have, want := l.placing(m, s), l.placingAnew(m, s)
			if !reflect.DeepEqual(have, want) {
				t.Fatalf("on %d shards: foreseen is %+v; it would be %+v", shards, have, want)
			}
			if before > 0 && before == len(l.shown.foreseen.places) {
				known++
			}
			seen[fmt.Sprint(len(want.nodes), want.mesh, want.speed)] = true
		}
	}
	if known < 200 || len(seen) < 10 {
		t.Errorf("%d of 1600 places were known; there were %d", known, len(seen))
	}
}
