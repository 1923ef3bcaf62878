package core

import (
	"fmt"
	"maps"
	"slices"
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

// TestDelaysAreMeasuredWhereBothNodesKnow has nodes beat every second that are new enough to
// measure delays, or not, and measure what they are asked to, as both ends do.
func TestDelaysAreMeasuredWhereBothNodesKnow(t *testing.T) {
	// From an old node of one host to another one nothing is gained by asking again; where a new
	// node comes to each of them, delays are measured.
	w := leads(t)
	fresh := map[job.NodeID]bool{}
	join := func(id job.NodeID, host string, echoes bool) {
		fresh[id] = echoes
		say[wire.Welcome](w, wire.Registration{Node: id, Name: string(id), Threads: 1,
			Model: demo(), ProcessID: string(id), Host: host, Echoes: echoes})
	}
	rates, delays := map[job.NodeID]topology.Rates{}, map[job.NodeID]topology.Delays{}
	asked := func(seconds int, all ...job.NodeID) (out []string) {
		for range seconds {
			w.pass(time.Second)
			for _, id := range all {
				p := say[wire.Pulse](w, wire.Heartbeat{Node: id, State: wire.Idle, Rates: rates[id],
					Delays: delays[id]}).Probe
				if p == nil {
					continue
				}
				out = append(out, fmt.Sprint(id, p.Node, " ", p.Class))
				if p.Echoes != (fresh[id] && fresh[p.Node]) {
					t.Errorf("%s is to measure %+v", id, p)
				}
				for _, end := range []job.NodeID{id, p.Node} {
					rates[end] = rates[end].With(p.Class, 1e9)
					if p.Echoes {
						delays[end] = delays[end].With(p.Class, 1e-4)
					}
				}
			}
		}
		return out
	}

	join("a", "h1", false)
	join("b", "h2", false)
	if got := asked(1000, "a", "b"); !slices.Equal(got, []string{"ab between hosts"}) {
		t.Errorf("old nodes measure %v", got)
	}
	join("c", "h1", true)
	if got := asked(1000, "a", "b", "c"); !slices.Equal(got, []string{"ca within a host"}) {
		t.Errorf("with a new one among old ones they measure %v", got)
	}
	join("d", "h2", true)
	want := []string{"dc between hosts", "bd within a host"}
	if got := asked(1000, "a", "b", "c", "d"); !slices.Equal(got, want) {
		t.Errorf("with two new ones they measure %v; want %v", got, want)
	}
}

// TestTheNetworkIsKnownSoon: the hosts of a cluster that starts know it after a few seconds, before
// what is inside them is measured.
func TestTheNetworkIsKnownSoon(t *testing.T) {
	w := leads(t)
	rates := map[job.NodeID]topology.Rates{}
	var ids []job.NodeID
	for _, id := range []job.NodeID{"a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"} {
		w.on(id, string(id[:1]), "")
		ids = append(ids, id)
		w.beat(id, nil) // which is alone, or the first of its host, for a moment
	}
	for second := 1; second <= 7; second++ {
		for _, id := range ids {
			h := wire.Heartbeat{Node: id, State: wire.Idle, Rates: rates[id]}
			p := say[wire.Pulse](w, h).Probe
			if p == nil {
				continue
			}
			if p.Class != topology.Net {
				t.Fatalf("after %d s %s is to measure what is %v", second, id, p.Class)
			}
			rates[id], rates[p.Node] = topology.Rates{Net: 1e9}, topology.Rates{Net: 1e9}
		}
		w.pass(time.Second)
	}
	hosts := map[byte]bool{}
	for id := range rates {
		hosts[id[0]] = true
	}
	if len(hosts) != 4 {
		t.Errorf("after a few seconds the network is known to %v", rates)
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
