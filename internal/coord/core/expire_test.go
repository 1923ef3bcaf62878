package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// TestSurplus deletes the oldest final jobs whose objects take too much together. What two share
// counts once, and goes with the second.
func TestSurplus(t *testing.T) {
	sized := func(i int, n int64) job.Object {
		o := artifact.Named(fmt.Sprintf("sha256-%064x", i))
		o.Size = n
		return o
	}
	now := time.Unix(1e9, 0)
	var all []job.Record
	for i, video := range []job.Object{sized(1, 60), sized(1, 60), sized(2, 30), sized(3, 20)} {
		all = append(all, job.Record{ID: job.ID(fmt.Sprint(i)), State: job.Completed, Finished: now,
			Result: job.Result{Video: video}})
	}
	for most, want := range map[int64][]job.ID{0: nil, 110: nil, 109: {"0", "1"}, 50: {"0", "1"},
		49: {"0", "1", "2"}, 1: {"0", "1", "2", "3"}} {
		l := &leader{c: &Core{cfg: Config{Limits: Limits{KeepBytes: most}}}}
		if got := l.surplus(all, now); !slices.Equal(got, want) {
			t.Errorf("with %d bytes %v go, want %v", most, got, want)
		}
	}
}
