package coord

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// TestOldJobsGo keeps jobs for an hour: a finished one says when it goes, and is gone after that,
// its objects too; one that runs is not.
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
