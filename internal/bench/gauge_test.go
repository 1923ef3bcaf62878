package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/models/demo"
)

// TestGaugeTimesEverything takes a round of two ranks that share the machine.
func TestGaugeTimesEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for a second")
	}
	from, err := demo.Open()
	if err != nil {
		t.Skip(err)
	}
	f, err := model.OpenFS(from, "the demo model")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := NewGauge(f, compute.FP32, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	got, err := g.Measure(t.Context(), 1)
	if err != nil || len(got.Passes) != len(gaugedPasses) ||
		len(got.Decodings) != len(gaugedDecodings) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.Encode <= 0 {
		t.Errorf("a pixel takes %g s", got.Encode)
	}
	for _, p := range got.Passes {
		if p.Seconds <= 0 {
			t.Errorf("%+v", p)
		}
	}
	for _, d := range got.Decodings {
		if d.Seconds <= 0 || d.Work <= 0 || d.Bytes <= 0 {
			t.Errorf("%+v", d)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Measure(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
