package wan

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// pictureTokens is how many embeddings the pictures of a pass have.
const pictureTokens = 6

// random draws a small architecture, heads 1 to 7 of any even width, and its weights.
func random(t *rapid.T) (model.TransformerConfig, func() *model.Weights) {
	cfg := model.TransformerConfig{
		PatchSize: [3]int{1, rapid.IntRange(1, 2).Draw(t, "ph"),
			rapid.IntRange(1, 3).Draw(t, "pw")},
		NumAttentionHeads: rapid.IntRange(1, 7).Draw(t, "heads"),
		AttentionHeadDim:  2 * rapid.IntRange(3, 13).Draw(t, "half head"),
		OutChannels:       rapid.IntRange(1, 5).Draw(t, "channels"),
		TextDim:           6,
		FreqDim:           8,
		FFNDim:            rapid.IntRange(1, 40).Draw(t, "ffn"),
		NumLayers:         rapid.IntRange(1, 2).Draw(t, "layers"),
		CrossAttnNorm:     rapid.Bool().Draw(t, "cross norm"),
		Eps:               1e-6,
	}
	cfg.InChannels = cfg.OutChannels + rapid.IntRange(0, 3).Draw(t, "condition")
	if rapid.Bool().Draw(t, "pictures") {
		cfg.ImageDim, cfg.AddedKVProjDim = 5, cfg.Dim()
		cfg.PosEmbedSeqLen = rapid.SampledFrom([]int{0, pictureTokens}).Draw(t, "positions")
	}
	r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "weights")))
	tensors := map[string]tensor.Tensor{}
	for name, shape := range cfg.Shapes() {
		v := make([]float32, shape.Elements())
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.3
		}
		tensors[name] = tensor.FromFloat32(v, shape...)
	}
	return cfg, func() *model.Weights { return model.NewWeights("transformer", tensors, cfg.Shapes()) }
}

// TestAnyNumberOfRanksGivesTheSameBytes splits random models over random uneven ranges.
func TestAnyNumberOfRanksGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, weights := random(t)
		p := cfg.PatchSize
		grid := partition.Grid{PT: p[0], PH: p[1], PW: p[2], T: rapid.IntRange(1, 3).Draw(t, "t"),
			H: p[1] * rapid.IntRange(1, 5).Draw(t, "h"), W: p[2] * rapid.IntRange(1, 5).Draw(t, "w")}
		r := rand.New(rand.NewPCG(2, rapid.Uint64().Draw(t, "latent")))
		x := make([]float32, grid.Tokens()*cfg.OutChannels*p[0]*p[1]*p[2])
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		dt := rapid.SampledFrom(compute.DTypes()).Draw(t, "dtype")
		want := pass(t, cfg, dt, weights, grid, x, 1, nil, nil)
		ranks := rapid.IntRange(1, min(cfg.NumAttentionHeads, grid.Tokens())).Draw(t, "ranks")
		speeds := make([]float64, ranks)
		for i := range speeds {
			speeds[i] = rapid.Float64Range(0.1, 3).Draw(t, "speed")
		}
		if got := pass(t, cfg, dt, weights, grid, x, ranks, speeds, nil); !bytes.Equal(got, want) {
			t.Fatalf("%d ranks give other bytes than one", ranks)
		}
	})
}

// pass runs a forward pass on several ranks and joins their velocities. With a reach it runs passes
// over several blocks, and joins the velocities of the last.
func pass(t *rapid.T, cfg model.TransformerConfig, dt compute.DType, weights func() *model.Weights,
	grid partition.Grid, x []float32, ranks int, speeds []float64, reach *Reach) []byte {
	tokens, heads := partition.Even(grid.Tokens(), ranks), partition.Even(cfg.NumAttentionHeads, ranks)
	if speeds != nil {
		tokens = partition.Weighted(grid.Tokens(), speeds)
		heads = partition.Weighted(cfg.NumAttentionHeads, speeds)
	}
	world, errs := mem.NewWorld(ranks, mem.Options{}), make([]error, ranks)
	width := len(x) / grid.Tokens()
	out := make([]float32, len(x))
	var wg sync.WaitGroup
	for r := range ranks {
		wg.Go(func() {
			lo, hi := tokens[r].Lo*width, tokens[r].Hi*width
			errs[r] = rankPass(cfg, dt, weights(), grid, world[r], 1+r%3, tokens, heads,
				x[lo:hi], out[lo:hi], reach)
			if errs[r] != nil {
				world[r].Close()
			}
		})
	}
	wg.Wait()
	for r, err := range errs {
		if err != nil {
			t.Fatalf("rank %d of %d: %v", r, ranks, err)
		}
		world[r].Close()
	}
	return tensor.Bytes(out)
}

// rankPass is one rank's part of pass, on a device of its own.
func rankPass(cfg model.TransformerConfig, dt compute.DType, w *model.Weights, grid partition.Grid,
	tr collective.Transport, threads int, tokens, heads []partition.Range, x, v []float32, reach *Reach) error {
	dev, err := cpu.New(threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	m, err := Load(dev, cfg, w, dt)
	if err != nil {
		return err
	}
	text, err := m.Text([]float32{1, -2, 3, 0.5, 0, 1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6})
	if err != nil {
		return err
	}
	defer text.Free()
	members := make([]int, tr.Size())
	for i := range members {
		members[i] = i
	}
	group, err := collective.NewGroup(tr, members)
	if err != nil {
		return err
	}
	s, err := m.newSequence(grid, group, tokens, heads, reach)
	if err != nil {
		return fmt.Errorf("cannot lay out: %w", err)
	}
	defer s.Free()
	// rows are n values of each own token, which depend on its place in the window.
	rows := func(n int) []float32 {
		v := make([]float32, tokens[tr.Rank()].Len()*n)
		for i := range v {
			v[i] = float32((tokens[tr.Rank()].Lo*n+i)%13)*0.1 - 0.6
		}
		return v
	}
	if n := m.ControlWidth(); n > 0 {
		if err := s.Control(rows(n), []float32{0.7, 1.3}[:m.ControlLayers()]); err != nil {
			return err
		}
	}
	if n := m.ConditionWidth(); n > 0 {
		if err := s.Condition(rows(n)); err != nil {
			return err
		}
	}
	if cfg.ImageDim > 0 {
		embeds := make([]float32, pictureTokens*cfg.ImageDim)
		for i := range embeds {
			embeds[i] = float32(i%7) - 2.5
		}
		pictures, err := m.Pictures(embeds)
		if err != nil {
			return err
		}
		defer pictures.Free()
		s.See(pictures)
	}

	ts := Timesteps{Values: []float32{0, 500}, Index: make([]int32, len(x)/m.TokenWidth())}
	for i := range ts.Index {
		ts.Index[i] = int32((tokens[tr.Rank()].Lo + i) % 2)
	}
	if reach != nil {
		return causalPasses(s, x, v, text)
	}
	return s.Forward(context.Background(), collective.Tag{}, x, v, ts, text)
}
