package wan

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// TestAResidualStandsForTheBlocks wants a pass without blocks to come near the one that left its
// residual, at the same latent, and to follow the latent and the timestep as the rest of the model
// does: what it makes of another latent is the output layer over patches plus residual.
func TestAResidualStandsForTheBlocks(t *testing.T) {
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		s, text := aSequence(t, dt)
		x := make([]float32, s.own.Len()*s.t.TokenWidth())
		for i := range x {
			x[i] = float32(i%17)*0.1 - 0.8
		}
		ts := Timesteps{Values: []float32{700}}
		full, short := make([]float32, len(x)), make([]float32, len(x))
		residual, err := s.NewResidual()
		if err != nil {
			t.Fatal(err)
		}
		defer residual.Free()
		s.Kept = residual
		if err := s.Forward(t.Context(), collective.Tag{}, x, full, ts, text); err != nil {
			t.Fatal(err)
		}
		if err := s.ForwardWith(t.Context(), residual, x, short, ts); err != nil {
			t.Fatal(err)
		}
		limit := map[compute.DType]float64{compute.FP32: 1e-5, compute.BF16: 1e-2}[dt]
		golden.Near(t, "without blocks", short, full, limit)

		// The residual is not touched, and another timestep makes a difference.
		again, other := make([]float32, len(x)), make([]float32, len(x))
		ts.Values = []float32{300}
		if err := s.ForwardWith(t.Context(), residual, x, other, ts); err != nil {
			t.Fatal(err)
		}
		ts.Values = []float32{700}
		if err := s.ForwardWith(t.Context(), residual, x, again, ts); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again, short) || slices.Equal(other, short) {
			t.Error("a pass without blocks depends on the one before, or not on its timestep")
		}
	}
}

// TestAStoppedPassWithoutBlocksEnds with the cause.
func TestAStoppedPassWithoutBlocksEnds(t *testing.T) {
	s, _ := aSequence(t, compute.FP32)
	residual, err := s.NewResidual()
	if err != nil {
		t.Fatal(err)
	}
	defer residual.Free()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x := make([]float32, s.own.Len()*s.t.TokenWidth())
	err = s.ForwardWith(ctx, residual, x, slices.Clone(x), Timesteps{Values: []float32{1}})
	if err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// TestStepDistances compares with the embeddings one by one, over more timesteps than are embedded
// at once.
func TestStepDistances(t *testing.T) {
	s, _ := aSequence(t, compute.BF16)
	var ts []float32
	for i := range timestepsMax + 9 {
		ts = append(ts, 1000-float32(i*i)/6)
	}
	got, err := s.StepDistances(ts)
	if err != nil || len(got) != len(ts) || got[0] != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	embedding := func(v float32) []float32 {
		s.embedTime(Timesteps{Values: []float32{v}})
		row := make([]float32, 6*s.t.cfg.Dim())
		if err := s.t.dev.Download(row, s.tproj); err != nil {
			t.Fatal(err)
		}
		return row
	}
	for i := 1; i < len(ts); i++ {
		a, b := embedding(ts[i-1]), embedding(ts[i])
		difference, size := 0., 0.
		for j := range a {
			difference, size = difference+math.Abs(float64(b[j]-a[j])), size+math.Abs(float64(a[j]))
		}
		if want := difference / size; !(math.Abs(got[i]-want) < 1e-6*(1+want)) {
			t.Errorf("from %v to %v: %v, want %v", ts[i-1], ts[i], got[i], want)
		}
	}
}

// aSequence is that of a small clip on one rank, with a text.
func aSequence(t *testing.T, dt compute.DType) (*Sequence, *Text) {
	t.Helper()
	f, err := model.Open(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dev.Close()
		f.Close()
	})
	w, err := f.Weights(model.FirstExpert)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(dev, f.Transformer, w, dt)
	if err != nil {
		t.Fatal(err)
	}
	group, err := collective.NewGroup(mem.NewWorld(1, mem.Options{})[0], []int{0})
	if err != nil {
		t.Fatal(err)
	}
	p := f.Transformer.PatchSize
	g := partition.Grid{PT: p[0], PH: p[1], PW: p[2], T: 2, H: 4 * p[1], W: 3 * p[2]}
	s, err := m.NewSequence(g, group, partition.Even(g.Tokens(), 1),
		partition.Even(f.Transformer.NumAttentionHeads, 1))
	if err != nil {
		t.Fatal(err)
	}
	embeds := make([]float32, 3*f.Transformer.TextDim)
	for i := range embeds {
		embeds[i] = float32(i%5) - 2
	}
	text, err := m.Text(embeds)
	if err != nil {
		t.Fatal(err)
	}
	return s, text
}
