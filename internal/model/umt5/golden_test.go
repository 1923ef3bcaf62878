package umt5

import (
	"fmt"
	"slices"
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
		got, err := e.Encode(t.Context(), [][]int32{ids})
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, fmt.Sprintf("embeds.%d", i), got[0], g.Floats(fmt.Sprintf("embeds.%d", i)), 1e-5)
	}
}

func TestEncodeRefusesBadIDs(t *testing.T) {
	e := load(t, "models/demo")
	for _, ids := range [][]int32{nil, {-1}, {451}} {
		if _, err := e.Encode(t.Context(), [][]int32{{1}, ids}); err == nil {
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

// TestPromptsOfABatchAreApart encodes prompts together, in more batches than one, and holds each to
// the bits that it has alone.
func TestPromptsOfABatchAreApart(t *testing.T) {
	e := load(t, "models/demo")
	var prompts [][]int32
	for _, n := range []int{3, 512, 1, 509, 40} {
		var ids []int32
		for i := range n {
			ids = append(ids, int32((i*i+n)%450)) //nolint:gosec // below 450
		}
		prompts = append(prompts, ids)
	}
	if n := len(batches(prompts)); n != 2 {
		t.Errorf("%d batches, want 2", n)
	}
	got, err := e.Encode(t.Context(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prompts {
		want, err := e.Encode(t.Context(), [][]int32{p})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i], want[0]) {
			t.Errorf("the prompt of %d tokens has other embeddings in a batch", len(p))
		}
	}
}
