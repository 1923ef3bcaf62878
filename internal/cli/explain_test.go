package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// TestStatusSaysWhatNow: for each way in which a job can stand, what happens next and what to do.
func TestStatusSaysWhatNow(t *testing.T) {
	loss := []job.Loss{{Attempt: 1, Reason: "node a was lost", Time: time.Now().Add(-90 * time.Second)}}
	for name, c := range map[string]struct {
		d     schema.Details
		err   string
		wants []string
	}{
		"no shard": {schema.Details{State: job.Queued, Waiting: "waits for a shard to register"}, "",
			[]string{"start a shard"}},
		"too few": {schema.Details{State: job.Queued, Waiting: "waits for 4 shards, 1 is registered"}, "",
			[]string{"more shards", "--shards"}},
		"busy": {schema.Details{State: job.Queued, Waiting: "waits for 2 shards, 0 are of 2 idle"}, "",
			[]string{"other jobs have ended", "--priority"}},
		"no ffmpeg": {schema.Details{State: job.Queued, Waiting: "waits for a shard that can write mp4"}, "",
			[]string{"ffmpeg", "webm"}},
		"full disk": {schema.Details{State: job.Queued, Waiting: "waits for room: 3 MB are free"}, "",
			[]string{"job delete"}},
		"lost once": {schema.Details{State: job.Queued, Waiting: "waits a moment, since ...", Attempt: 2,
			Losses: loss, Checkpoint: 7, Spec: job.Spec{Steps: 30}, AttemptsLeft: 4}, "",
			[]string{"for 1m3", "step 7 of 30", "4 attempts more"}},
		"behind": {schema.Details{State: job.Queued, Ahead: 3}, "", []string{"after 3 jobs"}},
		"running": {schema.Details{State: job.Running, Stage: job.StageDenoise, Done: 3, Total: 30, ETA: 200,
			Checkpoint: 3, Placed: time.Now().Add(-2 * time.Hour), Mesh: "cfg=2,ulysses=1",
			Where: "a, b (cfg=2,ulysses=1)", Attempt: 1}, "",
			[]string{"for 2h0m", "3m20s of denoise left", "at step 3", "on a, b"}},
		"cancelling": {schema.Details{State: schema.Cancelling}, "", []string{"stop"}},
		"failed": {schema.Details{State: job.Failed}, "5 attempts were lost without progress",
			[]string{"job logs", "job retry"}},
		"failed otherwise": {schema.Details{State: job.Failed}, "boom", []string{"job logs", "job retry"}},
		"completed":        {schema.Details{State: job.Completed}, "", []string{"job fetch job_1"}},
		"cancelled":        {schema.Details{State: job.Cancelled}, "", []string{"job retry job_1"}},
	} {
		v := schema.Video{ID: "job_1", Details: c.d}
		if c.err != "" {
			v.Error = &schema.VideoError{Message: c.err}
		}
		if v.Details.Created.IsZero() {
			v.Details.Created = time.Now()
		}
		var out strings.Builder
		if err := printVideo(&out, v, false); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, out.String())
			}
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s",
		61 * time.Second: "1m1s", 3*time.Hour + 5*time.Minute: "3h5m", 50 * time.Hour: "2d2h"} {
		if got := longSpan(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
