package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestRoutesArePublishedOnceForMany has many nodes register between two ticks, and come and go
// while a list of them takes longer to send than a tick.
func TestRoutesArePublishedOnceForMany(t *testing.T) {
	const many = 200
	w := leads(t)
	register := func(i, generation int) {
		id := job.NodeID(fmt.Sprintf("n%d-%d", i, generation))
		r := wire.Registration{Node: id, Name: fmt.Sprint("name-", i), Model: demo(), Device: "fake",
			Threads: 1, Route: fmt.Sprintf("nats-route://%0200d:6222", i)}
		if a := say[wire.Welcome](w, r); !a.Accepted || len(a.Routes) > many {
			t.Fatalf("%+v", a)
		}
	}
	w.tick()
	for i := range many {
		register(i, 0)
	}
	if len(w.routes) != 0 {
		t.Fatalf("routes were published %d times before a tick", len(w.routes))
	}
	w.tick()
	if len(w.routes) != 1 || len(w.routes[0].Routes) != many {
		t.Fatalf("routes were published %d times, the first with %d", len(w.routes),
			len(w.routes[0].Routes))
	}

	for i := range 20 {
		register(i, 1)
		w.pass(50 * time.Millisecond)
	}
	if n := len(w.routes); n < 3 || n > 11 {
		t.Errorf("within a second routes were published %d times, of %d changes", n, 20)
	}
	w.pass(time.Second)
	n := len(w.routes)
	w.pass(time.Second)
	if len(w.routes) != n || len(w.routes[n-1].Routes) != many {
		t.Errorf("nothing has changed, and routes were published %d times more", len(w.routes)-n)
	}
}

// TestTheListOfNodesIsSorted puts nodes into the table and takes them out again.
func TestTheListOfNodesIsSorted(t *testing.T) {
	w := leads(t)
	l, rng := w.k.lead, rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		id := job.NodeID(fmt.Sprint("n", rng.IntN(40)))
		before, same := l.sortedNodes(), slices.Clone(l.sortedNodes())
		if n := l.nodes[id]; n != nil && rng.IntN(2) == 0 {
			l.dropNode(n)
		} else {
			l.putNode(&node{reg: wire.Registration{Node: id, Name: fmt.Sprint(rng.IntN(5))}})
		}
		if !slices.Equal(before, same) {
			t.Fatal("a list that somebody may read was written to")
		}
		if len(l.sorted) != len(l.nodes) || !slices.IsSortedFunc(l.sorted, byName) {
			t.Fatalf("%d of %d nodes, not sorted", len(l.sorted), len(l.nodes))
		}
		for _, n := range l.sorted {
			if l.nodes[n.reg.Node] != n {
				t.Fatalf("%s is listed and not in the table", n.reg.Node)
			}
		}
	}
}
