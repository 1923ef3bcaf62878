package plan

import (
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestCausalClipsCostAsTheyGrow wants the work of a causal clip to grow with its blocks alone, and
// its memory not at all once its window is full.
func TestCausalClipsCostAsTheyGrow(t *testing.T) {
	m := costly()
	m.Cost.Decode = 0
	m.Causal = &job.Causal{Block: 3, Window: 9, Sink: 3, Timesteps: []float64{1000, 500}, Shift: 5,
		Warp: true}
	of := func(blocks int) (job.Spec, Forecast) {
		s := clipOf(t, m, 96, 64, 4*(3*blocks-1)+1, 2)
		if l := Load(m, s); l.Count() != 1 || l.WindowTokens() != 3*24 || l.Passes() != 1 {
			t.Errorf("%d windows of %d tokens in %d passes", l.Count(), l.WindowTokens(), l.Passes())
		}
		if n := len(Timeline(Grid(m, s), s).Windows(0)); n != blocks || s.Blocks != blocks {
			t.Errorf("%d windows, %d blocks counted, %d asked for", n, s.Blocks, blocks)
		}
		return s, Predict(m, s, []Offer{{Speed: 1e9}})
	}
	short, one := of(10)
	long, two := of(100)
	// The last block has no step behind it.
	if per, all := one.Operations/29, two.Operations/299; per != all || short.TotalSteps() != 29 ||
		long.TotalSteps() != 299 || one.Memory != two.Memory {
		t.Errorf("%v and %v operations a step, %v and %v", per, all, one.Memory, two.Memory)
	}
	window := int64(2 * 9 * 24 * 256 * 8 * 4) // keys and values, tokens, width, layers, float32
	if one.Memory.Denoise < window || one.Memory.Total() < window+one.Memory.Decode {
		t.Errorf("%v in memory, the window alone takes %d", one.Memory, window)
	}
}
