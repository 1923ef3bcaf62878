package core

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestPercents(t *testing.T) {
	if got := percents([]float64{4e10, 4e10, 2e10}); strings.Join(got, " ") != "40% 40% 20%" {
		t.Errorf("%v", got)
	}
}

// TestANodeWithAnOrderIsNotFree loses an attempt before its node has answered the order to start:
// the node may have taken it, so that the next attempt goes elsewhere, or waits for the answer.
func TestANodeWithAnOrderIsNotFree(t *testing.T) {
	w := leads(t)
	w.join("a")
	id := w.create(1)
	first := w.orders[0]
	w.orders = nil
	say[wire.Ack](w, wire.Failure{Node: "a", Work: wire.Work{Job: id, Attempt: 1}, Peer: -1,
		Reason: "broke"})
	w.beat("a", nil)
	w.clock = w.clock.Add(time.Second) // past the backoff
	w.tick()
	if r := w.record(id); r.State != job.Queued || r.Attempt != 1 {
		t.Fatalf("attempt %d is %s while its node has an order", r.Attempt, r.State)
	}

	first.done(errNoAnswer)
	w.k.Settle()
	if r := w.record(id); r.State != job.Running || r.Attempt != 2 {
		t.Errorf("attempt %d is %s; want the next, now that the node has not taken it", r.Attempt,
			r.State)
	}
}
