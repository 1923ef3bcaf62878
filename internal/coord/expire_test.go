package coord

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// TestOldJobsGo keeps jobs for an hour: a finished one says when it goes, and is gone after that, its
// objects too; one that runs is not.
func TestOldJobsGo(t *testing.T) {
	ctx := t.Context()
	var later atomic.Int64
	cfg := testConfig(t.TempDir())
	cfg.Limits.KeepFor = time.Hour
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	c := start(t, cfg)
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	if a := f.finish(c, f.told()); !a.OK {
		t.Fatal(a)
	}
	v := untilState(t, c, id, job.Completed)
	if want := v.Finished.Add(time.Hour); !v.Expires.Equal(want) {
		t.Errorf("it goes at %v, want %v", v.Expires, want)
	}
	wide := create(t, c, request(2))
	later.Store(int64(59 * time.Minute))
	if _, err := c.Get(ctx, id); err != nil {
		t.Error(err)
	}
	later.Store(int64(61 * time.Minute))
	eventually(t, "the old job is gone", func() bool {
		_, err := c.Get(ctx, id)
		return errors.Is(err, ErrNotFound)
	})
	eventually(t, "its clip is gone", func() bool {
		_, err := c.Open(ctx, v.Result.Video)
		return errors.Is(err, ErrNotFound)
	})
	if v, err := c.Get(ctx, wide); err != nil || v.State != job.Queued || !v.Expires.IsZero() {
		t.Errorf("a job that waits: %v, %v", v.State, err)
	}
}

// TestSurplus deletes the oldest final jobs whose objects take too much together. What two share
// counts once, and goes with the second.
func TestSurplus(t *testing.T) {
	object := func(i int, n int64) job.Object {
		o := artifact.Named(fmt.Sprintf("sha256-%064x", i))
		o.Size = n
		return o
	}
	now := time.Unix(1e9, 0)
	var all []job.Record
	for i, video := range []job.Object{object(1, 60), object(1, 60), object(2, 30), object(3, 20)} {
		all = append(all, job.Record{ID: job.ID(fmt.Sprint(i)), State: job.Completed, Finished: now,
			Result: job.Result{Video: video}})
	}
	for most, want := range map[int64][]job.ID{0: nil, 110: nil, 109: {"0", "1"}, 50: {"0", "1"},
		49: {"0", "1", "2"}, 1: {"0", "1", "2", "3"}} {
		l := &leader{c: &Coordinator{cfg: Config{Limits: Limits{KeepBytes: most}}}}
		if got := l.surplus(all, now); !slices.Equal(got, want) {
			t.Errorf("with %d bytes %v go, want %v", most, got, want)
		}
	}
}
