package coord

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// wrong is a time of day that can be set, and a clock that always goes on.
type wrong struct{ by atomic.Int64 }

func (w *wrong) now() time.Time { return time.Now().Add(time.Duration(w.by.Load())) }

func (w *wrong) config(dir string) Config {
	cfg := testConfig(dir)
	cfg.Now, cfg.Clock = w.now, time.Now
	return cfg
}

// TestALossFromAheadHoldsNothingUp loses an attempt while the clock is an hour ahead, and sets it
// right: the job goes on at once. So it does under a coordinator that starts again.
func TestALossFromAheadHoldsNothingUp(t *testing.T) {
	var w wrong
	w.by.Store(int64(time.Hour))
	cfg := w.config(t.TempDir())
	c := start(t, cfg)
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	for i := range 2 {
		s := f.told()
		a, err := ask[wire.Ack](f, wire.SubjectFail, wire.Failure{Node: f.id, Work: wire.Work{Job: id,
			Attempt: s.Plan.Attempt}, Peer: -1, Reason: "broke"})
		if err != nil || !a.OK {
			t.Fatal(a, err)
		}
		untilLost(t, c, id, i+1)
		f.over(s.Plan.Attempt)
		w.by.Store(0)
	}
	f.told()
	f.leave()
	closed(t, c)

	w.by.Store(-int64(24 * time.Hour)) // all that is written down is ahead now
	c = start(t, cfg)
	f.join(c)
	if ack := f.finish(c, wire.StartOrder{Plan: job.Plan{Job: id, Attempt: 3}}); !ack.OK {
		t.Fatal(ack)
	}
	untilState(t, c, id, job.Completed)
}
