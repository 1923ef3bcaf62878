package core

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// state is all that a message could change.
func (w *fakeWorld) state() string {
	w.t.Helper()
	s, err := w.k.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		w.t.Fatal(err)
	}
	nodes, err := w.k.Nodes()
	if err != nil {
		w.t.Fatal(err)
	}
	return out.String() + fmt.Sprintf("%+v %v %+v", nodes, w.orders, w.k.lead.progress)
}

// TestMessagesOfAnotherIdentity sends everything that a node says under the certificate of another
// one, which must change nothing: also right after an election, when no node is known.
func TestMessagesOfAnotherIdentity(t *testing.T) {
	w := leads(t)
	w.from = "gpu-1"
	own := wire.NewNodeID(w.from, "X")
	w.join(own)
	id := w.create(1)
	s := w.take()[0]
	w.beat(own, &s)

	work := wire.Work{Job: id, Attempt: 1}
	result := job.Result{Video: object("v"), Latents: object("l"), ContentType: "video/webm"}
	all := []wire.Sent{
		wire.Registration{Node: own, Name: "x", Model: demo(), Work: work},
		wire.Heartbeat{Node: own, State: wire.Idle}, wire.Goodbye{Node: own},
		wire.Leave{Node: own}, wire.Report{Node: own, Progress: job.Progress{Job: id, Attempt: 1,
			Stage: job.StageDenoise, Done: 1, Total: 4}},
		wire.Completion{Node: own, Work: work, Result: result},
		wire.Failure{Node: own, Work: work, Peer: -1, Final: true, Reason: "no"},
		wire.Saved{Node: own, Work: work, Checkpoint: job.Checkpoint{Step: 1, Object: object("c")}},
		wire.Kept{Node: own, Work: work, Name: "text.0", Object: object("t")},
		wire.Preview{Node: own, Work: work, Step: 1, Data: []byte("RIFF")},
		wire.Probe{Node: own, Number: 1, Class: topology.Net, To: own},
	}
	if len(all) != len(Messages()) {
		t.Errorf("%d messages, of %d kinds", len(all), len(Messages()))
	}
	kinds := map[reflect.Type]bool{}
	for _, term := range []string{"a leader", "a new leader"} {
		before := w.state()
		for _, m := range all {
			kinds[reflect.TypeOf(m)] = true
			err := w.k.Handle("gpu-2", m, func(any) { t.Errorf("%s answers a forged %T", term, m) })
			if !errors.Is(err, ErrForeign) || w.state() != before {
				t.Errorf("%s: a %T of another's node: %v", term, m, err)
			}
		}
		w.k.Resign()
		w.k.Lead()
	}
	if len(kinds) != len(all) {
		t.Errorf("%d kinds of messages, not %d", len(kinds), len(all))
	}

	// The node itself is heard, and its work still counts.
	w.join(own)
	w.beat(own, &s)
	say[wire.Ack](w, wire.Report{Node: own, Progress: job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDenoise, Done: 1, Total: 4}})
	if p := w.k.lead.progress[id]; p.Done != 1 {
		t.Errorf("the node's own report is not heard: %+v", p)
	}
}

// TestNobodyTakesAnothersPlace: a route and a process are of one identity.
func TestNobodyTakesAnothersPlace(t *testing.T) {
	w := leads(t)
	register := func(from, random, route, process string) wire.Welcome {
		w.from = from
		return say[wire.Welcome](w, wire.Registration{Node: wire.NewNodeID(from, random), Name: "n",
			Threads: 1, Model: demo(), Route: route, ProcessID: process})
	}
	if a := register("a", "1", "nats-route://a:1", "p"); !a.Accepted {
		t.Fatal(a)
	}
	before := w.state()
	for _, a := range []wire.Welcome{register("b", "1", "nats-route://a:1", "q"),
		register("b", "1", "nats-route://b:1", "p")} {
		if a.Accepted || a.Final || !strings.Contains(a.Reason, "of shard a") || w.state() != before {
			t.Errorf("b takes the place of a: %+v", a)
		}
	}

	// Its own earlier process does make room, and a GPU of the same process stands beside it.
	if a := register("a", "2", "nats-route://a:1", "p"); !a.Accepted || w.k.NodeCount() != 2 {
		t.Errorf("%+v, %d nodes", a, w.k.NodeCount())
	}
	if a := register("a", "3", "nats-route://a:1", "r"); !a.Accepted || w.k.NodeCount() != 1 {
		t.Errorf("%+v, %d nodes", a, w.k.NodeCount())
	}
	for i := range identityNodes + 1 {
		a := register("a", fmt.Sprint("many", i), "", "")
		if (i < identityNodes-1) != a.Accepted {
			t.Errorf("node %d of one identity: %+v", i+2, a)
		}
	}
}

// TestMeasurementsGoThroughTheLeader: a node reaches the one that it was asked to measure with, and
// that once.
func TestMeasurementsGoThroughTheLeader(t *testing.T) {
	w := leads(t)
	var ids []job.NodeID
	for _, name := range []string{"a", "b"} {
		w.from = name
		ids = append(ids, wire.NewNodeID(name, "X"))
		say[wire.Welcome](w, wire.Registration{Node: ids[len(ids)-1], Name: name, Threads: 1,
			Model: demo(), Host: "host-" + name})
	}
	w.from = "a"
	ask := wire.Probe{Node: ids[0], Number: 1, Class: topology.Net, To: ids[1]}
	if a := say[wire.Ack](w, ask); a.OK || len(w.orders) != 0 {
		t.Fatalf("a measurement that nobody asked for: %+v, %v", a, w.orders)
	}

	p := w.beat(ids[0], nil)
	if p.Probe == nil || p.Probe.Node != ids[1] {
		t.Fatalf("no measurement: %+v", p)
	}
	w.from = "a"
	ask.Class = p.Probe.Class
	say[wire.Ack](w, ask)
	if len(w.orders) != 1 || w.orders[0].node != ids[1] || w.orders[0].order != any(wire.Probe{
		Node: ids[0], Number: 1, Class: p.Probe.Class}) {
		t.Fatalf("passed on: %+v", w.orders)
	}
	if a := say[wire.Ack](w, ask); a.OK || len(w.orders) != 1 {
		t.Errorf("passed on twice: %+v", a)
	}
}
