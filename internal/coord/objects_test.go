package coord

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestInputsStayForTheirJobs stores an input: it stays as long as a job starts from it, and goes
// with the last one; one that no job has come for goes when its time is over.
func TestInputsStayForTheirJobs(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t.TempDir())
	cfg.leaseLeast = time.Millisecond
	c := start(t, cfg)
	fake(t, c, "a", func(r *wire.Registration) { r.Model.Extends = true })
	eventually(t, "the object store is open", func() bool { return c.objects.Load() != nil })
	store := func(text string) job.Object {
		t.Helper()
		o, err := c.StoreInput(ctx, bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	in := store("a picture")
	r := request(1)
	r.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindImage, Object: in, Latents: 1}}
	r.Shards = 2 // it waits
	id := create(t, c, r)
	f, err := c.Open(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); string(b) != "a picture" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	f.Close()
	if _, err := c.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	gone := func(o job.Object) func() bool {
		return func() bool {
			r, err := c.Open(ctx, o)
			if err == nil {
				r.Close()
			}
			return errors.Is(err, ErrNotFound)
		}
	}
	eventually(t, "the input is deleted with its job", gone(in))
	if _, err := c.Create(ctx, r); !errors.Is(err, ErrNotFound) {
		t.Errorf("a start that is gone: %v", err)
	}
	late := store("another")
	entry, err := json.Marshal(map[string]any{"v": 6, "kind": "lease",
		"lease": map[string]any{"object": late, "until": time.Now().Add(-time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	if out := c.append(core.Seal(entry)); out.err != nil {
		t.Fatal(out.err)
	}
	eventually(t, "an input without a job is deleted", gone(late))
}

// TestStraysAreDeleted stores an object that nobody records, and one that a job starts from. Half
// an hour later both are there, after two hours that of the job.
func TestStraysAreDeleted(t *testing.T) {
	ctx := context.Background()
	var later atomic.Int64
	cfg := testConfig(t.TempDir())
	cfg.leaseLeast = time.Millisecond
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	c := start(t, cfg)
	fake(t, c, "a", func(r *wire.Registration) { r.Model.Extends = true })
	eventually(t, "the object store is open", func() bool { return c.objects.Load() != nil })
	stray, err := (*c.objects.Load()).Put(ctx, bytes.NewReader([]byte("stray")))
	if err != nil {
		t.Fatal(err)
	}
	r := request(1)
	in, err := c.StoreInput(ctx, bytes.NewReader([]byte("a picture")))
	if err != nil {
		t.Fatal(err)
	}
	r.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindImage, Object: in, Latents: 1}}
	r.Shards = 2
	create(t, c, r)
	there := func(o job.Object) bool {
		f, err := c.Open(ctx, o)
		if err == nil {
			f.Close()
		}
		return err == nil
	}
	later.Store(int64(30 * time.Minute))
	eventually(t, "the stray is found", func() bool {
		return strings.Contains(snapshotText(t, c), stray.Name)
	})
	if !there(stray) || !there(in) {
		t.Error("an object is gone early")
	}
	later.Store(int64(2 * time.Hour))
	eventually(t, "the stray is deleted", func() bool { return !there(stray) })
	if !there(in) {
		t.Error("what a job starts from was deleted")
	}
}

// TestDamageIsTold damages a clip, then takes it away: who opens it is told, and so is who looks
// at its job, until the same bytes are stored again.
func TestDamageIsTold(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	store := *c.objects.Load()
	put := func() job.Object {
		t.Helper()
		o, err := store.Put(ctx, bytes.NewReader([]byte("a clip")))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := put()
	a, err := ask[wire.Ack](f, wire.SubjectComplete, completion(f, s,
		job.Result{Video: o, Latents: o, ContentType: "video/webm"}))
	if err != nil || !a.OK {
		t.Fatal(a, err)
	}
	look := func(want error, says string) {
		t.Helper()
		r, err := c.Open(ctx, o)
		if err == nil {
			r.Close()
		}
		v, get := c.Get(ctx, id)
		if !errors.Is(err, want) || (want == nil) != (err == nil) || get != nil ||
			!strings.Contains(v.Damage, says) || (says == "") != (v.Damage == "") {
			t.Errorf("%v, %q, %v; want %v, %q", err, v.Damage, get, want, says)
		}
	}
	look(nil, "")
	subject := wire.Bucket + "." + o.Name + ".0"
	js, err := jetstream.New(c.broker.conn)
	if err == nil {
		_, err = js.Publish(ctx, subject, []byte("a clap"))
	}
	if err != nil {
		t.Fatal(err)
	}
	look(ErrDamaged, "damaged")
	put()
	look(nil, "")
	if err := store.Delete(ctx, o); err != nil {
		t.Fatal(err)
	}
	look(ErrNotFound, "gone")
}

// TestARetryMends loses a clip: its job says so before anybody asks for it, and a retry, which
// stores the same bytes, makes it whole.
func TestARetryMends(t *testing.T) {
	ctx := context.Background()
	var later atomic.Int64
	cfg := testConfig(t.TempDir())
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	c := start(t, cfg)
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	a, err := ask[wire.Ack](f, wire.SubjectComplete, completion(f, s, stored(t, c, "the clip")))
	if err != nil || !a.OK {
		t.Fatal(a, err)
	}
	f.over(s.Plan.Attempt)
	v := untilState(t, c, id, job.Completed)
	if err := (*c.objects.Load()).Delete(ctx, v.Result.Video); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(2 * time.Minute))
	eventually(t, "the job says that its clip is gone", func() bool {
		v, err := c.Get(ctx, id)
		return err == nil && strings.Contains(v.Damage, "gone")
	})
	if _, err := c.Retry(ctx, id); err != nil {
		t.Fatal(err)
	}
	a, err = ask[wire.Ack](f, wire.SubjectComplete, completion(f, f.told(), stored(t, c, "the clip")))
	if err != nil || !a.OK {
		t.Fatal(a, err)
	}
	if v, err := c.Get(ctx, id); err != nil || v.Damage != "" {
		t.Errorf("after the retry: %q, %v", v.Damage, err)
	}
	r, err := c.Open(ctx, v.Result.Video)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

func completion(f *shardFake, s wire.StartOrder, r job.Result) wire.Completion {
	return wire.Completion{Node: f.id, Result: r,
		Work: wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt}}
}
