package umt5

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
)

// dropper is a device that packs weights, counts those that are there, and drops them.
type dropper struct {
	compute.Device
	held map[compute.Linear]bool
	most int
}

func (d *dropper) PackLinear(w, bias []float32, out, in int, t compute.DType) (compute.Linear,
	error) {
	l, err := d.Device.PackLinear(w, bias, out, in, t)
	d.held[l] = true
	d.most = max(d.most, len(d.held))
	return l, err
}

func (d *dropper) Drop(w compute.Linear) { delete(d.held, w) }

// TestLayersAreStreamed encodes with a text encoder that has the weights of two layers at a time,
// as often as it is asked to, once what could stop it from loading is over.
func TestLayersAreStreamed(t *testing.T) {
	resident := load(t, "models/demo")
	d := &dropper{Device: resident.dev, held: map[compute.Linear]bool{}}
	f, err := model.Open(golden.Root("models/demo"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := f.Weights("text_encoder")
	if err != nil {
		t.Fatal(err)
	}
	loading, over := context.WithCancel(t.Context())
	w.StopWhen(func() error { return context.Cause(loading) })
	e, err := Stream(d, f.TextEncoder, w, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	over()

	prompts := [][]int32{{5, 6, 7, 1}, {8, 1}}
	want, err := resident.Encode(t.Context(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := e.Encode(t.Context(), prompts)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) {
			t.Error("the embeddings are others than those of layers that stay")
		}
	}
	if _, err := e.Encode(loading, prompts); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone has the error %v", err)
	}
	if d.most > 2*5 || len(d.held) > 0 {
		t.Errorf("%d weights at a time, and %d are left; want those of two layers, and none", d.most,
			len(d.held))
	}
}
