package coord

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestJobGoesOnAfterALostNode(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	a.told()
	b.told()
	a.progress(job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDenoise, Done: 2, Total: 4})
	saved := wire.Saved{Node: "a", Work: wire.Work{Job: id, Attempt: 1},
		Checkpoint: job.Checkpoint{Step: 2,
			Object: job.Object{Name: "sha256-" + sum, Size: 3, SHA256: sum}}}
	if ack, err := ask[wire.Ack](a, wire.SubjectSaved, saved); err != nil || !ack.OK {
		t.Fatalf("%+v, %v", ack, err)
	}
	b.leave()
	l := untilLost(t, c, id, 1)
	want := "node name-b (rank 1) was lost: silent for"
	if !strings.HasPrefix(l.Reason, want) || !strings.HasSuffix(l.Reason, "step 2 of 4") ||
		l.Step != 2 || l.Attempt != 1 {
		t.Fatalf("%+v", l)
	}
	if s := next(t, a.stops, "a stop order"); s.Job != id || s.Cancel {
		t.Fatalf("%+v", s)
	}
	a.over(1)
	s := a.told()
	if s.Plan.Attempt != 2 || s.Plan.Mesh.Size() != 1 || s.Plan.Resume != saved.Checkpoint {
		t.Fatalf("the next attempt: %+v", s.Plan)
	}
	if ack, err := ask[wire.Ack](a, wire.SubjectSaved, saved); err != nil || ack.OK || !ack.Final {
		t.Fatalf("a checkpoint of attempt 1: %+v, %v", ack, err)
	}
	if ack := a.finish(c, s); !ack.OK {
		t.Fatalf("%+v", ack)
	}
	if v := untilState(t, c, id, job.Completed); v.Checkpoint != (job.Checkpoint{}) {
		t.Fatalf("a finished job keeps %+v", v.Checkpoint)
	}
}

var sum = strings.Repeat("0123456789abcdef", 4)

func TestAJobThatGetsNowhereFails(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	for attempt := range job.FutileLimit {
		s := a.told()
		report := wire.Failure{Node: "a", Work: wire.Work{Job: id, Attempt: s.Plan.Attempt}, Peer: -1,
			Reason: "no answer"}
		if ack, err := ask[wire.Ack](a, wire.SubjectFail, report); err != nil || !ack.OK {
			t.Fatalf("%+v, %v", ack, err)
		}
		untilLost(t, c, id, attempt+1)
		a.over(s.Plan.Attempt)
	}
	v := untilState(t, c, id, job.Failed)
	if !strings.Contains(v.Error, "no answer") || !strings.Contains(v.Error, "5 attempts") {
		t.Fatalf("%q", v.Error)
	}
	again, err := c.Retry(context.Background(), id)
	if err != nil || !again.Spec.Equal(v.Spec) {
		t.Fatalf("%+v, %v", again, err)
	}
}

// TestANodeThatDoesNotStopIsNotWaitedFor leaves a node at work on a lost attempt.
func TestANodeThatDoesNotStopIsNotWaitedFor(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	a.hangs = true
	id := create(t, c, request(1))
	a.told()
	b := fake(t, c, "b")
	report := wire.Failure{Node: "a", Work: wire.Work{Job: id, Attempt: 1}, Peer: 0, Reason: "hangs"}
	if ack, err := ask[wire.Ack](a, wire.SubjectFail, report); err != nil || !ack.OK {
		t.Fatalf("%+v, %v", ack, err)
	}
	if s := b.told(); s.Plan.Job != id || s.Plan.Attempt != 2 {
		t.Fatalf("%+v", s.Plan)
	}
}

// TestOtherRanksMayGoOnceRankZeroDecodes loses a node whose part is done.
func TestOtherRanksMayGoOnceRankZeroDecodes(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	s := a.told()
	b.told()
	a.progress(job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDecode, Done: 1, Total: 4})
	b.leave()
	eventually(t, "b is gone", func() bool {
		nodes, err := c.Nodes(context.Background())
		return err == nil && len(nodes) == 1
	})
	if ack := a.finish(c, s); !ack.OK {
		t.Fatalf("%+v", ack)
	}
	if v := untilState(t, c, id, job.Completed); len(v.Losses) != 0 {
		t.Fatalf("%+v", v.Losses)
	}
}

// TestARankThatDecodesIsMissed loses a node whose part is not done.
func TestARankThatDecodesIsMissed(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	a.told()
	b.told()
	a.progress(job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDecode, Done: 1, Total: 4, Ranks: 2})
	b.leave()
	l := untilLost(t, c, id, 1)
	want := "after decoding frame 1 of 4"
	if !strings.Contains(l.Reason, want) {
		t.Fatalf("%q, want %q", l.Reason, want)
	}
}

func TestFailureReportNamesNodes(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	a.told()
	b.told()
	stale := wire.Failure{Node: "b", Work: wire.Work{Job: id, Attempt: 2, Rank: 1}, Peer: 0, Reason: "x"}
	if ack, err := ask[wire.Ack](b, wire.SubjectFail, stale); err != nil || ack.OK || !ack.Final {
		t.Fatalf("a stale report: %+v, %v", ack, err)
	}
	report := wire.Failure{Node: "b", Work: wire.Work{Job: id, Attempt: 1, Rank: 1}, Peer: 0,
		Reason: "no answer"}
	for range 2 {
		if ack, err := ask[wire.Ack](b, wire.SubjectFail, report); err != nil || !ack.OK {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	l := untilLost(t, c, id, 1)
	want := "node name-b (rank 1) failed: no answer; it blames node name-a (rank 0)"
	if l.Reason != want {
		t.Fatalf("%q, want %q", l.Reason, want)
	}
}

func TestRefusedOrderLosesTheAttempt(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	b.refuse = "out of memory"
	id := create(t, c, request(2))
	a.told()
	l := untilLost(t, c, id, 1)
	if !strings.Contains(l.Reason, "node name-b (rank 1)") ||
		!strings.Contains(l.Reason, "out of memory") {
		t.Fatalf("%+v", l)
	}
}

func TestIdleRankZeroLosesTheAttempt(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.over(a.told().Plan.Attempt) // it lost the job without a word
	if l := untilLost(t, c, id, 1); l.Reason != "node name-a (rank 0) no longer works on it" {
		t.Fatalf("%+v", l)
	}
}

// TestAStopOfTheCoordinatorLosesNoOrder stops a coordinator while it waits for a node to
// acknowledge an order. The node has it, so the next coordinator finds the attempt live.
func TestAStopOfTheCoordinatorLosesNoOrder(t *testing.T) {
	cfg := testConfig(t.TempDir())
	c := start(t, cfg)
	f := fake(t, c, "a")
	sent := make(chan struct{}, 1)
	_, err := f.conn.Subscribe(wire.SubjectStart("", f.id), func(*nats.Msg) { sent <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}

	f.mu.Lock() // the node cannot answer
	id := create(t, c, request(1))
	next(t, sent, "an order")
	c.loop.post(func() { // the loop hears of all that ends with the coordinator
		for {
			select {
			case event := <-c.loop.events:
				event()
			case <-time.After(300 * time.Millisecond):
				return
			}
		}
	})
	closed(t, c)
	f.mu.Unlock()
	s := f.told()
	f.leave()

	c = start(t, cfg)
	f.join(c)
	if ack := f.finish(c, s); !ack.OK {
		t.Fatal(ack)
	}
	if v := untilState(t, c, id, job.Completed); len(v.Losses) > 0 {
		t.Errorf("an attempt was lost: %+v", v.Losses)
	}
}

// TestALongStepIsNotWaitedFor has an urgent job come while a step of another one goes on and on.
func TestALongStepIsNotWaitedFor(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Timing.Yield = 50 * time.Millisecond
	c := start(t, cfg)
	a := fake(t, c, "a")
	a.hangs = true // it computes, whatever it is told
	id := create(t, c, request(1))
	a.told()
	urgent := request(1)
	urgent.Priority = 1
	next := create(t, c, urgent)
	if l := untilLost(t, c, id, 1); !l.Planned || !strings.Contains(l.Reason, string(next)) {
		t.Errorf("%+v", l)
	}
}
