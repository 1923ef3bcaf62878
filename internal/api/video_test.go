package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// TestACancelledJobThatRunsIsCancelling keeps the status that clients know.
func TestACancelledJobThatRunsIsCancelling(t *testing.T) {
	v := coord.View{Record: job.Record{ID: "video_1", State: job.Running, CancelRequested: true,
		Attempt: 1, Spec: job.Spec{FPS: 16, Frames: 1}},
		Progress: job.Progress{Attempt: 1, Stage: job.StageDenoise, Total: 4, Part: 0.5, ETA: 1e9}}
	text, err := json.Marshal(toVideo(v))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"status":"in_progress"`, `"state":"cancelling"`,
		`"cancel_requested":true`, `"part":0.5`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if strings.Contains(string(text), "eta_seconds") || toVideo(v).Final() {
		t.Errorf("%s says how long it will take, or is final", text)
	}
	v.CancelRequested = false
	if d := toVideo(v).Details; d.State != job.Running || d.ETA != 1 {
		t.Errorf("a running job: %+v", d)
	}
}

func TestForceIsTrueOrFalse(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "false": false, "True": true} {
		var q request
		if err := q.set("force", value{text: text}); err != nil || q.Force != want {
			t.Errorf("%s: %v, %v", text, q.Force, err)
		}
	}
	if err := new(request).set("force", value{text: "maybe"}); err == nil {
		t.Error("maybe was taken")
	}
}
