package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/job"
)

// TestLostAttemptsAreToldOnce follows a job through two losses, whose views repeat the earlier one.
func TestLostAttemptsAreToldOnce(t *testing.T) {
	losses := []job.Loss{{Attempt: 1, Reason: "node a was lost", Step: 7}, {Attempt: 2, Reason: "b", Step: 9}}
	for name, open := range map[string]func(w *bytes.Buffer) reporter{
		"lines": func(w *bytes.Buffer) reporter { return &lines{w: w} },
		"json":  func(w *bytes.Buffer) reporter { return &jsonReporter{w: w} },
		"bar":   func(w *bytes.Buffer) reporter { return &bar{w: w} },
	} {
		var out bytes.Buffer
		rep := open(&out)
		update := following(rep)
		for _, n := range []int{0, 1, 1, 2, 2} {
			v := api.Video{Details: api.Details{State: job.Running, Stage: job.StageDenoise, Total: 10}}
			v.Details.Losses = losses[:n]
			update(v)
		}
		rep.end()
		if n := strings.Count(out.String(), "node a was lost"); n != 1 {
			t.Errorf("%s: attempt 1 is told of %d times: %q", name, n, out.String())
		}
	}
}
