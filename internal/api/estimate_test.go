package api

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
)

// Estimate implements coord.Service.
func (f *fake) Estimate(_ context.Context, r job.Request) (coord.Estimate, error) {
	if f.err != nil {
		return coord.Estimate{}, f.err
	}
	s, err := f.model.Resolve(r, nil)
	bill := func(a price.Micro) *price.Bill { return &price.Bill{Amount: a, Currency: "EUR"} }
	return coord.Estimate{Estimate: job.Estimate{DeviceSeconds: 10, Seconds: 6, Error: 0.1,
		Samples: 3}, Known: true, Spec: s, Mesh: job.Mesh{CFG: 2, Ulysses: 1},
		Nodes: []string{"a", "b"}, Devices: []string{"d", "d"}, Memory: 1 << 20, Ahead: 2,
		Waiting: "waits for its turn", Cost: bill(100), Low: bill(80), High: bill(120)}, err
}

// TestEstimate asks what a clip takes, by JSON and by a form: nothing is queued.
func TestEstimate(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	r := job.Request{Prompt: "a ball", Frames: new(5)}
	e, err := c.Estimate(t.Context(), r)
	if err != nil || e.DeviceSeconds != 10 || e.ComputeSeconds != 6 || e.Samples != 3 ||
		e.Range != [2]float64{8, 12} || e.Frames != 5 || len(e.Shards) != 2 || e.Ahead != 2 ||
		e.Cost == nil || e.Cost.Low != 80 || e.Cost.High != 120 || e.Cost.Currency != "EUR" {
		t.Errorf("%+v, %v", e, err)
	}

	status, body, _ := do(t, c, "POST", "/v1/videos/estimate", "application/json",
		`{"prompt": "a", "num_frames": -1}`)
	if status != http.StatusBadRequest || !strings.Contains(body, "num_frames") {
		t.Errorf("%d %s; want the field that is wrong", status, body)
	}
	if n := len(f.jobs); n > 0 {
		t.Errorf("%d jobs were created", n)
	}
}

// TestExpected sets the estimate of a job beside what it took.
func TestExpected(t *testing.T) {
	at := time.Unix(100, 0)
	rec := job.Record{State: job.Running, Placed: at,
		Estimate: &job.Estimate{DeviceSeconds: 12, Seconds: 6, Error: 0.1, Samples: 4}}
	if e := expectedOf(coord.View{Record: rec}); e.Took != 0 || e.DeviceSeconds != 12 {
		t.Errorf("%+v of a job that runs", e)
	}

	rec.State, rec.Finished = job.Completed, at.Add(8*time.Second)
	rec.Usage = rec.Usage.Charge("d", job.Usage{Time: 10 * time.Second}, true)
	e := expectedOf(coord.View{Record: rec})
	want := schema.Expected{DeviceSeconds: 12, ComputeSeconds: 6, Error: 0.1, Samples: 4, Took: 10,
		TookWhole: 8, Off: e.Off, ComputeOff: -0.25}
	if *e != want || math.Abs(e.Off-0.2) > 1e-9 {
		t.Errorf("%+v; want %+v, 20 %% too high", *e, want)
	}
	if expectedOf(coord.View{}) != nil {
		t.Error("a job without an estimate has one")
	}
}
