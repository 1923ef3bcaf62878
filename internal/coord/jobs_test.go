package coord

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

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
	a.progress(job.Progress{Job: id, Attempt: 1,
		Stage: job.StageDenoise, Done: 1, Total: 4})
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

// TestAResultIsOfTheFormatThatWasAskedFor hands in a page in place of a clip.
func TestAResultIsOfTheFormatThatWasAskedFor(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	res := stored(t, c, "x")
	res.ContentType = "text/html"
	a, err := ask[wire.Ack](f, wire.SubjectComplete, wire.Completion{Node: f.id, Work: wire.Work{Job: id,
		Attempt: s.Plan.Attempt}, Result: res})
	if err != nil || a.OK || !a.Final {
		t.Fatalf("%+v, %v", a, err)
	}
	if l := untilLost(t, c, id, 1); !l.Own || !strings.Contains(l.Reason, "content_type") {
		t.Fatalf("%+v", l)
	}
}

// TestASeedIsDrawnOnce has all ranks of all attempts use the seed that the client was told.
func TestASeedIsDrawnOnce(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a, b := fake(t, c, "a"), fake(t, c, "b")
	rec, err := c.Create(t.Context(), request(2))
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Create(t.Context(), request(2))
	if err != nil || other.Spec.Seed == rec.Spec.Seed {
		t.Fatalf("two clips have the seed %d: %v", rec.Spec.Seed, err)
	}
	for _, s := range []uint64{a.told().Plan.Spec.Seed, b.told().Plan.Spec.Seed} {
		if s != rec.Spec.Seed {
			t.Errorf("a rank has the seed %d, the client was told %d", s, rec.Spec.Seed)
		}
	}
	b.leave()
	if again := a.told(); again.Plan.Job != rec.ID || again.Plan.Spec.Seed != rec.Spec.Seed {
		t.Errorf("job %s goes on with the seed %d", again.Plan.Job, again.Plan.Spec.Seed)
	}
}
