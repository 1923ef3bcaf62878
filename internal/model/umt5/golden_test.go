package umt5

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
)

func load(t *testing.T, folder string) *Encoder {
	t.Helper()
	f, err := model.Open(golden.Root(folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	w, err := f.Weights("text_encoder")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(dev, f.TextEncoder, w, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmbeddingsEqualTheReference(t *testing.T) {
	e, g := load(t, "models/demo"), golden.Open(t, "umt5")
	for i := range 4 {
		var ids []int32
		for _, id := range g.Ints(fmt.Sprintf("ids.%d", i)) {
			ids = append(ids, int32(id))
		}
		e.tap = func(layer int, hidden compute.Mat) {
			if layer == e.cfg.NumLayers {
				return // the reference lists the normed state there
			}
			got := make([]float32, hidden.Rows*hidden.Cols)
			if err := e.dev.Download(got, hidden); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("hidden.%d.%d", i, layer)
			golden.Near(t, name, got, g.Floats(name), 1e-5)
		}
		got, err := e.Encode(ids)
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, fmt.Sprintf("embeds.%d", i), got, g.Floats(fmt.Sprintf("embeds.%d", i)), 1e-5)
	}
}

func TestEncodeRefusesBadIDs(t *testing.T) {
	e := load(t, "models/demo")
	for _, ids := range [][]int32{nil, {-1}, {451}} {
		if _, err := e.Encode(ids); err == nil {
			t.Errorf("Encode(%v) gave no error", ids)
		}
	}
}

func TestBucketBoundaries(t *testing.T) {
	// Distances and buckets of 32 with max distance 128, as transformers computes them.
	for d, want := range map[int]int{0: 0, -1: 1, -7: 7, -8: 8, -11: 8, -12: 9, -16: 10,
		-127: 15, -500: 15, 1: 17, 8: 24, 128: 31} {
		if got := bucket(d, 32, 128); got != want {
			t.Errorf("bucket(%d) = %d, want %d", d, got, want)
		}
	}
}
