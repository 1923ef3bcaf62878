package coord

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestJobRunsOnAllShards(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	if _, err := c.Create(ctx, request(0)); !errors.Is(err, ErrNoModel) {
		t.Fatalf("without a shard: %v", err)
	}
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	sa, sb := a.told(), b.told()
	if sa.Rank != 0 || sb.Rank != 1 || sa.Plan.Mesh.Size() != 2 || sa.Members[1].Route != b.reg.Route {
		t.Fatalf("orders %+v and %+v", sa, sb)
	}
	report := wire.Report{Node: "a", Progress: job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDenoise, Done: 1, Total: 4}}
	if ack, err := ask[wire.Ack](a, wire.SubjectProgress, report); err != nil || !ack.OK {
		t.Fatalf("progress: %+v, %v", ack, err)
	}
	v := until(t, c, id, "at step 1", func(v View) bool { return v.Progress.Done == 1 })
	if v.State != job.Running || v.Nodes[0] != "name-a" || v.Nodes[1] != "name-b" {
		t.Fatalf("%+v", v)
	}
	for range 2 { // the repeat is acknowledged too
		if ack := a.finish(c, sa); !ack.OK {
			t.Fatalf("completion: %+v", ack)
		}
	}
	v = untilState(t, c, id, job.Completed)
	r, err := c.Open(ctx, v.Result.Video)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "video of "+string(id) {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestJobWaitsForShards(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	big := create(t, c, request(3))
	until(t, c, big, "waiting for shards", func(v View) bool {
		return v.Waiting == "waits for 3 shards, 1 is registered"
	})
	small := create(t, c, request(1)) // may pass the one that cannot run
	s := a.told()
	if s.Plan.Job != small {
		t.Fatalf("job %s runs", s.Plan.Job)
	}
	b, d := fake(t, c, "b"), fake(t, c, "d")
	until(t, c, big, "waiting for idle ones", func(v View) bool {
		return v.Waiting == "waits for 3 shards, 2 are of 3 idle"
	})
	behind := create(t, c, request(1)) // may not pass: it would starve the first
	until(t, c, behind, "behind", func(v View) bool { return v.Waiting == "waits for its turn" })
	a.finish(c, s)
	for _, f := range []*shardFake{a, b, d} {
		if s := f.told(); s.Plan.Job != big {
			t.Fatalf("job %s runs", s.Plan.Job)
		}
	}
}

func TestJobsOnDisjointNodesRunAtOnce(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	one, two := create(t, c, request(1)), create(t, c, request(1))
	if x, y := a.told().Plan.Job, b.told().Plan.Job; x != one || y != two {
		t.Fatalf("%s and %s run", x, y)
	}
}

func TestJobGoesOnAfterALostNode(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	id := create(t, c, request(2))
	a.told()
	b.told()
	report := wire.Report{Node: "a", Progress: job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDenoise, Done: 2, Total: 4}}
	if _, err := ask[wire.Ack](a, wire.SubjectProgress, report); err != nil {
		t.Fatal(err)
	}
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
	a.idle()
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
		a.idle()
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
	report := wire.Report{Node: "a", Progress: job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDecode, Done: 1, Total: 4}}
	if _, err := ask[wire.Ack](a, wire.SubjectProgress, report); err != nil {
		t.Fatal(err)
	}
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
	report := wire.Report{Node: "a", Progress: job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDecode, Done: 1, Total: 4, Ranks: 2}}
	if _, err := ask[wire.Ack](a, wire.SubjectProgress, report); err != nil {
		t.Fatal(err)
	}
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
	a.told()
	a.idle() // it lost the job without a word
	if l := untilLost(t, c, id, 1); l.Reason != "node name-a (rank 0) no longer works on it" {
		t.Fatalf("%+v", l)
	}
}

func TestCancel(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	running, waiting := create(t, c, request(1)), create(t, c, request(1))
	a.told()
	if v, err := c.Cancel(ctx, waiting); err != nil || v.State != job.Cancelled {
		t.Fatalf("a queued job: %s, %v", v.State, err)
	}
	if err := c.Delete(ctx, running); !errors.Is(err, job.ErrTransition) {
		t.Fatalf("deleting a running job: %v", err)
	}
	if v, err := c.Cancel(ctx, running); err != nil || !v.CancelRequested {
		t.Fatalf("a running job: %+v, %v", v, err)
	}
	if s := next(t, a.stops, "a stop order"); !s.Cancel || s.Job != running {
		t.Fatalf("%+v", s)
	}
	m := wire.Failure{Node: "a", Work: wire.Work{Job: running, Attempt: 1}, Peer: -1, Cancelled: true}
	if ack, err := ask[wire.Ack](a, wire.SubjectFail, m); err != nil || !ack.OK {
		t.Fatalf("%+v, %v", ack, err)
	}
	untilState(t, c, running, job.Cancelled)
	if _, err := c.Cancel(ctx, running); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if _, err := c.Cancel(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("an unknown job: %v", err)
	}
}

func TestCompletionWithoutObjectsFails(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	s := a.told()
	sum := strings.Repeat("ab", 32)
	missing := job.Object{Name: "sha256-" + sum, Size: 1, SHA256: sum}
	m := wire.Completion{Node: "a", Work: wire.Work{Job: id, Attempt: s.Plan.Attempt},
		Result: job.Result{Video: missing, Latents: missing, ContentType: "video/webm"}}
	if ack, err := ask[wire.Ack](a, wire.SubjectComplete, m); err != nil || ack.OK || !ack.Final {
		t.Fatalf("%+v, %v", ack, err)
	}
	if v := untilState(t, c, id, job.Failed); !strings.Contains(v.Error, missing.Name) {
		t.Fatalf("%q", v.Error)
	}
}

func TestDeleteRemovesObjects(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.finish(c, a.told())
	v := untilState(t, c, id, job.Completed)
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, id); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a deleted job: %v", err)
	}
	eventually(t, "the object is deleted", func() bool {
		r, err := c.Open(ctx, v.Result.Video)
		if err == nil {
			r.Close()
		}
		return errors.Is(err, ErrNotFound)
	})
	eventually(t, "the trash is empty", func() bool {
		return strings.Contains(snapshotText(t, c), `"trash":[]`)
	})
}

func TestAnotherModelIsRefused(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	f := newFake(t, "b", func(r *wire.Registration) { r.Model.Fingerprint = "f2" })
	f.join(c)
	if w := f.register(); w.Accepted || !w.Final || !strings.Contains(w.Reason, "f2") {
		t.Fatalf("%+v", w)
	}
	if w, err := ask[wire.Welcome](f, wire.SubjectRegister, "nonsense"); err != nil || w.Accepted ||
		!w.Final {
		t.Fatalf("%+v, %v", w, err)
	}
}

func TestAnotherArithmeticIsRefusedWhileThereAreNodes(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a", func(r *wire.Registration) { r.Arithmetic = "avx512" })
	b := newFake(t, "b", func(r *wire.Registration) { r.Arithmetic = "avx2" })
	b.join(c)
	w := b.register()
	for _, want := range []string{"avx512", "avx2", "LONGTAKE_CPU"} {
		if w.Accepted || w.Final || !strings.Contains(w.Reason, want) {
			t.Fatalf("%+v does not say %q", w, want)
		}
	}
	fake(t, c, "c", func(r *wire.Registration) { r.Arithmetic = "avx512" })
}

func TestFormatNeedsAShardThatWritesIt(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a", func(r *wire.Registration) { r.Capabilities = []string{"webm", "png"} })
	mp4 := job.Request{Format: "mp4", Shards: 2}
	var f *job.FieldError
	if _, err := c.Create(context.Background(), mp4); !errors.As(err, &f) || f.Field != "format" {
		t.Fatalf("%v", err)
	}
	b := fake(t, c, "b")
	create(t, c, mp4)
	if s := b.told(); s.Rank != 0 {
		t.Fatalf("the shard that writes mp4 has rank %d", s.Rank)
	}
}

func TestKeysAndLimits(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t.TempDir())
	cfg.Limits.Queued = 2
	c := start(t, cfg)
	f := fake(t, c, "a")
	r := request(9)
	r.Shards, r.Mesh = 0, job.Mesh{CFG: 2, Ulysses: 4}
	r.Key = "mine"
	one := create(t, c, r)
	if two := create(t, c, r); two != one {
		t.Fatalf("a repeat made job %s beside %s", two, one)
	}
	other := r
	other.Prompt = "another"
	if _, err := c.Create(ctx, other); !errors.Is(err, ErrKeyReused) {
		t.Fatalf("another request: %v", err)
	}
	other.Key = ""
	create(t, c, other)
	if _, err := c.Create(ctx, other); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("a third: %v", err)
	}
	if _, err := c.Create(ctx, job.Request{Mesh: job.Mesh{CFG: 1, Ulysses: 7}}); err == nil {
		t.Fatal("seven ranks share six heads")
	}
	f.leave()
}

func TestListPages(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	var ids []job.ID
	for range 5 {
		ids = append(ids, create(t, c, request(2)))
	}
	for _, order := range []string{"asc", "desc"} {
		var got []job.ID
		o := ListOptions{Limit: 2, Order: order}
		for more := true; more; {
			p, err := c.List(ctx, o)
			if err != nil || len(p.Jobs) == 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			for _, v := range p.Jobs {
				got = append(got, v.ID)
			}
			o.After, more = got[len(got)-1], p.More
		}
		for i := range ids {
			want := ids[i]
			if order == "desc" {
				want = ids[len(ids)-1-i]
			}
			if got[i] != want {
				t.Fatalf("%s: %v", order, got)
			}
		}
	}
	for _, o := range []ListOptions{{Limit: 101}, {Limit: -1}, {Order: "up"}, {After: "nobody"}} {
		if _, err := c.List(ctx, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestStatusAndMetrics(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.finish(c, a.told())
	untilState(t, c, id, job.Completed)
	s, err := c.Status(ctx)
	if err != nil || s.State != "Leader" || s.Nodes != 1 || s.Jobs != 1 || len(s.Members) != 1 ||
		!s.Members[0].Leader || s.Term == 0 || s.Model.Name != "demo" {
		t.Fatalf("%+v, %v", s, err)
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].Name != "name-a" {
		t.Fatalf("%+v, %v", nodes, err)
	}
	families, err := c.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	checkMetrics(t, families)
}

// checkMetrics wants what an operator's first dashboard needs, and help that is a sentence.
func checkMetrics(t *testing.T, families []*dto.MetricFamily) {
	t.Helper()
	found := map[string]*dto.MetricFamily{}
	for _, f := range families {
		found[f.GetName()] = f
		if !strings.HasPrefix(f.GetName(), "longtake_") {
			continue // Go's and the process's
		}
		if h := f.GetHelp(); !strings.HasSuffix(h, ".") || len(strings.Fields(h)) < 4 {
			t.Errorf("%s: help %q", f.GetName(), h)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes",
		"process_open_fds", "longtake_build_info", "longtake_nodes_in_state",
		"longtake_oldest_queued_seconds", "longtake_node_seen_seconds", "longtake_node_memory_bytes"} {
		if found[name] == nil {
			t.Errorf("no metric %s", name)
		}
	}
	states := map[string]float64{}
	for _, m := range found["longtake_nodes_in_state"].GetMetric() {
		states[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	if len(states) != len(nodeStates) || states["idle"]+states["busy"] != 1 {
		t.Errorf("nodes by state %v", states)
	}
}

// TestNodesOfOneRoute: shards of one process share a route and stay; a new process at the route
// takes the place of all of them.
func TestNodesOfOneRoute(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	at := func(process string) func(*wire.Registration) {
		return func(r *wire.Registration) { r.Route, r.ProcessID = "nats-route://host:1", process }
	}
	first, second := fake(t, c, "a", at("one")), fake(t, c, "b", at("one"))
	there := func(want ...job.NodeID) {
		t.Helper()
		nodes, err := c.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []job.NodeID
		for _, n := range nodes {
			got = append(got, n.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%v are there, want %v", got, want)
		}
	}
	there("a", "b")
	first.leave()
	second.leave()
	fake(t, c, "c", at("two"))
	there("c")
}
