package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// TestJobEvents puts a job's past in order: here the first loss was made good after the second.
func TestJobEvents(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	v := schema.Video{Size: "96x64", Details: schema.Details{State: job.Completed, Attempt: 3,
		Spec: job.Spec{Frames: 33}, Created: at(0), Started: at(1), Placed: at(5), Where: "c (cfg=1)", Finished: at(9), Losses: []job.Loss{
			{Attempt: 1, Reason: "node a was lost", Step: 4, Began: at(1), Where: "a, b (cfg=2)",
				Time: at(2), Recovered: at(6)},
			{Attempt: 2, Reason: "drained", Step: 5, Time: at(4), Recovered: at(6), Planned: true},
		}, Result: &job.Result{Video: job.Object{Size: 5000}}}}
	var out strings.Builder
	if err := printEvents(&out, jobEvents(v), false); err != nil {
		t.Fatal(err)
	}
	want := []string{"created   33 frames of 96x64", "started   attempt 1 on a, b (cfg=2)",
		"lost      attempt 1: node a was lost; resumes at step 4", "stopped   attempt 2: drained",
		"started   attempt 3 on c (cfg=1)", "recovered first progress since attempt 1 was lost",
		"recovered first progress since attempt 2 was stopped",
		"completed 5.0 kB in attempt 3"}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out.String())
	}
	for i, w := range want {
		if !strings.Contains(lines[i], w) {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], w)
		}
	}
}

func TestEventsOfAJobThatFailed(t *testing.T) {
	v := schema.Video{Error: &schema.VideoError{Message: "no room"},
		Details: schema.Details{State: job.Failed, Created: time.Unix(1, 0), Finished: time.Unix(2, 0)}}
	e := jobEvents(v)
	if len(e) != 3 || e[2].Event != "to do" || e[1].Event != "failed" || e[1].Text != "no room" {
		t.Errorf("%+v", e)
	}
}
