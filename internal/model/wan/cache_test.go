package wan

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// causalPasses runs a noisy and a clean pass over each of some blocks, the first of which is x;
// each next one is what the model made of the block before. v is the last velocity.
func causalPasses(s *Sequence, x, v []float32, text *Text) error {
	x = append([]float32(nil), x...)
	for b := range 6 {
		s.Begin(b)
		for i, t := range []float32{700, 0} {
			tag := collective.Tag{Step: uint32(2*b + i)} //nolint:gosec // few
			err := s.Forward(context.Background(), tag, x, v, Timesteps{Values: []float32{t}}, text)
			if err != nil {
				return err
			}
			for k := range x {
				x[k] -= v[k] / 2
			}
		}
	}
	return nil
}

// TestCachedBlocksHaveTheSameBytesOnAnyRanks splits random models, and caches that roll and keep a
// sink, over random uneven ranges.
func TestCachedBlocksHaveTheSameBytesOnAnyRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, weights := random(t)
		p := cfg.PatchSize
		grid := partition.Grid{PT: p[0], PH: p[1], PW: p[2], T: rapid.IntRange(1, 3).Draw(t, "t"),
			H: p[1] * rapid.IntRange(1, 3).Draw(t, "h"), W: p[2] * rapid.IntRange(1, 4).Draw(t, "w")}
		reach := Reach{Blocks: rapid.IntRange(1, 7).Draw(t, "blocks")}
		reach.Sink = rapid.IntRange(0, reach.Blocks-1).Draw(t, "sink")
		r := rand.New(rand.NewPCG(2, rapid.Uint64().Draw(t, "latent")))
		x := make([]float32, grid.Tokens()*cfg.OutChannels*p[0]*p[1]*p[2])
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}

		dt := rapid.SampledFrom(compute.DTypes()).Draw(t, "dtype")
		want := pass(t, cfg, dt, weights, grid, x, 1, nil, &reach)
		ranks := rapid.IntRange(1, min(cfg.NumAttentionHeads, grid.Tokens())).Draw(t, "ranks")
		speeds := make([]float64, ranks)
		for i := range speeds {
			speeds[i] = rapid.Float64Range(0.1, 3).Draw(t, "speed")
		}
		got := pass(t, cfg, dt, weights, grid, x, ranks, speeds, &reach)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d ranks give other bytes than one", ranks)
		}
		if !tensor.Finite(tensor.Floats(want)) {
			t.Fatal("the passes grow without bound, so they compare nothing")
		}
	})
}

// TestABlockReplacesTheOneItNoLongerReaches lists what each block finds in the cache: the sink and
// the latest blocks, each once.
func TestABlockReplacesTheOneItNoLongerReaches(t *testing.T) {
	for _, r := range []Reach{{1, 0}, {4, 0}, {4, 1}, {4, 3}, {7, 2}} {
		held := make([]int, r.Blocks)
		for b := range 4 * r.Blocks {
			held[r.slot(b)] = b
			for slot, have := range held[:min(b+1, r.Blocks)] {
				if have < r.Sink && slot == have || have > b-(r.Blocks-r.Sink) && have <= b {
					continue
				}
				t.Fatalf("%+v: block %d finds %v", r, b, held)
			}
		}
	}
	for _, r := range []Reach{{0, 0}, {2, 2}, {3, -1}} {
		if r.check() == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}

// TestTheCacheIsCounted compares what a sequence with a cache takes with what is counted before.
func TestTheCacheIsCounted(t *testing.T) {
	m := load(t, 1, "testdata", "golden", "tiny3")
	grid := partition.Grid{T: 3, H: 4, W: 4, PT: 1, PH: 2, PW: 2}
	all, heads := []partition.Range{{Hi: 12}}, []partition.Range{{Hi: 3}}
	few := m.CausalBytes(grid, 0, all, heads, Reach{Blocks: 2})
	many := m.CausalBytes(grid, 0, all, heads, Reach{Blocks: 5, Sink: 1})
	block := int64(2 * 2 * 12 * 72 * 4)          // layers, keys and values, tokens, width, float32
	values := int64(12*72*4 + compute.AllocUnit) // of own tokens, computed into the cache at once
	if plain := m.SequenceBytes(grid, 0, all, heads); many-few < 3*block ||
		few-plain < 2*block-values || many-few > 4*block {
		t.Errorf("%d, %d and %d bytes; a block has %d", plain, few, many, block)
	}
}
