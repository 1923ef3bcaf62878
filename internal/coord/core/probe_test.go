package core

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// on registers a node on a host and a rack.
func (w *fakeWorld) on(id job.NodeID, host, rack string) {
	w.t.Helper()
	a := say[wire.Welcome](w, wire.Registration{Node: id, Name: "name-" + string(id), Threads: 1,
		Model: demo(), ProcessID: string(id), Host: host, Rack: rack})
	if !a.Accepted {
		w.t.Fatalf("node %s: %+v", id, a)
	}
}

// TestLinksAreMeasuredOnceForEachHost has nodes of three hosts beat, and measure what they are
// asked to.
func TestLinksAreMeasuredOnceForEachHost(t *testing.T) {
	w := leads(t)
	hosts := map[job.NodeID]string{"a": "h1", "b": "h1", "c": "h2", "d": "h3"}
	w.on("a", "h1", "r1")
	w.on("b", "h1", "r1")
	if p := w.beat("a", nil); p.Probe != nil {
		t.Errorf("on a single host, %+v is to be measured", p.Probe)
	}
	w.on("c", "h2", "r1")
	w.on("d", "h3", "r2")

	rates := map[job.NodeID]topology.Rates{}
	asked := map[string]int{}
	for range 100 {
		w.pass(time.Second)
		asking := 0
		for _, id := range []job.NodeID{"a", "b", "c", "d"} {
			p := say[wire.Pulse](w, wire.Heartbeat{Node: id, State: wire.Idle, Rates: rates[id]})
			if p.Probe == nil {
				continue
			}
			asking++
			asked[hosts[id]+" "+p.Probe.Class.String()]++
			rates[id] = rates[id].With(p.Probe.Class, 1e9)
		}
		if asking > 1 {
			t.Fatalf("%d nodes measure at once", asking)
		}
	}

	// Host h2 has no second node, and h3 is alone in its rack.
	want := map[string]int{"h1 within a host": 1, "h1 between hosts": 1, "h1 between racks": 1,
		"h2 between hosts": 1, "h2 between racks": 1, "h3 between racks": 1}
	if !maps.Equal(asked, want) {
		t.Errorf("asked to measure: %v; want %v", asked, want)
	}
}

// TestNodesAtWorkMeasureNothing: neither do they, nor is anyone sent to them.
func TestNodesAtWorkMeasureNothing(t *testing.T) {
	w := leads(t)
	w.on("a", "h1", "")
	w.on("b", "h2", "")
	w.create(1)
	start := w.take()[0]
	busy := start.Plan.Nodes[0]
	other := map[job.NodeID]job.NodeID{"a": "b", "b": "a"}[busy]
	for range 20 {
		w.pass(time.Second)
		if p := w.beat(busy, &start); p.Probe != nil {
			t.Fatalf("the node at work is to measure %+v", p.Probe)
		}
		if p := w.beat(other, nil); p.Probe != nil {
			t.Fatalf("the idle node is sent to the one at work: %+v", p.Probe)
		}
	}
}

// TestRefusalSaysWhatToSet gives a node of another arithmetic advice that helps.
func TestRefusalSaysWhatToSet(t *testing.T) {
	for other, want := range map[string]string{"avx2": "LONGTAKE_CPU", "cuda-v3": "set device to cuda"} {
		w := leads(t)
		r := wire.Registration{Node: "a", Name: "a", Threads: 1, Model: demo(), Arithmetic: "avx512"}
		say[wire.Welcome](w, r)
		r.Node, r.Name, r.Arithmetic = "b", "b", other
		if a := say[wire.Welcome](w, r); a.Accepted || !strings.Contains(a.Reason, want) {
			t.Errorf("%s: %+v", other, a)
		}
	}
}
