package coord

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord/wire"
	"github.com/longtake/longtake/internal/job"
)

// TestAFailureThatWouldComeAgainEndsTheJob reports numbers that are not finite: no other attempt is
// made, whichever rank says so and however often.
func TestAFailureThatWouldComeAgainEndsTheJob(t *testing.T) {
	c := start(t, config(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	a.told()
	b.told()
	report := wire.Failure{Node: "b", Job: id, Attempt: 1, Rank: 1, Peer: -1, Final: true,
		Reason: "denoise: step 2 of 3 is not finite"}
	for range 2 {
		if ack, err := ask[wire.Ack](b, wire.SubjectFail, report); err != nil || !ack.OK {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	v := untilState(t, c, id, job.Failed)
	if v.Attempt != 1 || len(v.Losses) != 0 || !strings.Contains(v.Error, report.Reason) ||
		!strings.Contains(v.Error, "name-b") {
		t.Fatalf("%+v", v)
	}
	late := wire.Failure{Node: "a", Job: id, Attempt: 1, Peer: 1, Reason: "rank 1 is gone"}
	if ack, err := ask[wire.Ack](a, wire.SubjectFail, late); err != nil || !ack.OK {
		t.Fatalf("%+v, %v", ack, err)
	}
}

// TestADamagedModelGivesWay registers a shard whose weights are damaged first: it must not keep those
// out whose weights are not, nor work together with them.
func TestADamagedModelGivesWay(t *testing.T) {
	c := start(t, config(t.TempDir()))
	bad := func(r *wire.Registration) {
		r.Model.Fingerprint, r.Model.Damage = "f2", "weight x is NaN"
	}
	a := fake(t, c, "a", bad)
	fake(t, c, "b")
	nodes, err := c.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.ID == "a" {
			t.Errorf("the damaged shard is still there: %+v", n)
		}
	}
	if w := a.register(); w.Accepted || !w.Final {
		t.Errorf("the damaged shard is taken back: %+v", w)
	}
	late := newFake(t, "c", bad)
	late.join(c)
	if w := late.register(); w.Accepted || !w.Final {
		t.Errorf("a damaged shard is taken: %+v", w)
	}
}
