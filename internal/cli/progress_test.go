package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
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
			v := schema.Video{Details: schema.Details{State: job.Running, Stage: job.StageDenoise, Total: 10}}
			v.Details.Losses = losses[:n]
			update(v)
		}
		rep.end()
		if n := strings.Count(out.String(), "node a was lost"); n != 1 {
			t.Errorf("%s: attempt 1 is told of %d times: %q", name, n, out.String())
		}
	}
}

// TestBarShowsOneMoment: after each update, label and bar are of the same one.
func TestBarShowsOneMoment(t *testing.T) {
	var out bytes.Buffer
	b := &bar{w: &out}
	for done := range 10 {
		b.update(schema.Video{Details: schema.Details{State: job.Running, Stage: job.StageDenoise, Done: done,
			Total: 10}})
		last := out.String()[strings.LastIndexByte(strings.TrimRight(out.String(), "\r"), '\r')+1:]
		if !strings.Contains(last, fmt.Sprintf("denoise %d/10", done)) ||
			!strings.Contains(last, fmt.Sprintf(" %d%%", done*10)) {
			t.Errorf("after update %d the last line is %q", done, last)
		}
	}
	out.Reset()
	b.update(schema.Video{Details: schema.Details{State: job.Completed}})
	if strings.Contains(out.String(), "0%") {
		t.Errorf("a job that is completed is shown as %q", out.String())
	}
}

// TestALongStageTellsOnceHowLong says so where there is no bar, and only of what takes minutes.
func TestALongStageTellsOnceHowLong(t *testing.T) {
	var out bytes.Buffer
	l := &lines{w: &out}
	for _, eta := range []float64{7200, 7100, 50} {
		l.update(schema.Video{Details: schema.Details{State: job.Running, Stage: job.StageDenoise, Total: 3,
			ETA: eta}})
	}
	l.update(schema.Video{Details: schema.Details{State: job.Running, Stage: job.StageDecode, ETA: 5}})
	if got := out.String(); got != "denoise\ndenoise: about 2h0m left\ndecode\n" {
		t.Errorf("it says %q", got)
	}
}
