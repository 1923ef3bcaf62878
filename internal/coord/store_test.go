package coord

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/testlog"
)

// TestObjectsOfAnotherLogStay loses the log of a coordinator, not its objects: they stay, it says
// so, and once the log is put back they are swept again.
func TestObjectsOfAnotherLogStay(t *testing.T) {
	ctx := context.Background()
	var later atomic.Int64
	var log testlog.Buffer
	cfg := testConfig(t.TempDir())
	cfg.leaseLeast = time.Millisecond
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := start(t, cfg)
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	f.finish(c, f.told())
	v := untilState(t, c, id, job.Completed)
	eventually(t, "the cluster has an id", func() bool { return cluster(c) != "" })
	var saved bytes.Buffer
	if err := c.SaveSnapshot(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	f.leave()
	closed(t, c)
	for _, name := range []string{"raft.db", "snapshots"} {
		if err := os.RemoveAll(filepath.Join(cfg.Data, name)); err != nil {
			t.Fatal(err)
		}
	}

	c = start(t, cfg)
	there := func() bool {
		r, err := c.Open(ctx, v.Result.Video)
		if err == nil {
			r.Close()
		}
		return err == nil
	}
	for i := range 3 { // two hours are enough for a stray to go
		eventually(t, "it says so", func() bool { return log.Count("belongs to another log") > i })
		later.Add(int64(2 * time.Hour))
	}
	if strings.Contains(snapshotText(t, c), `"until"`) || !there() {
		t.Fatal("objects of another log are on their way out")
	}
	if err := c.RestoreSnapshot(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	later.Add(int64(2 * time.Minute))
	eventually(t, "the objects of a deleted job go", func() bool { return !there() })
}

// TestNoJobIsPlacedBeforeItIsKnownWhoseTheStoreIs has a job and a shard at hand as soon as a new
// coordinator leads. What its ranks stored once made the new store look like another cluster's.
func TestNoJobIsPlacedBeforeItIsKnownWhoseTheStoreIs(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	create(t, c, request(1))
	f.told()
	if cluster(c) == "" {
		t.Error("a job is placed, and its objects have no cluster yet")
	}
}
