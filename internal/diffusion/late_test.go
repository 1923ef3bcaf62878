package diffusion

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestALateSchedulerIsTheEndOfAWholeOne skips steps of either kind: timesteps and levels are those
// of the rest, and a restored one goes on as the other does.
func TestALateSchedulerIsTheEndOfAWholeOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{KindUniPC, KindEuler}).Draw(t, "kind")
		steps := rapid.IntRange(1, 9).Draw(t, "steps")
		skip, at := rapid.IntRange(0, steps-1).Draw(t, "skip"), 0
		fresh := func() Late {
			s, err := NewScheduler(kind, steps, 3, wan(kind))
			if err != nil {
				t.Fatal(err)
			}
			return s.(Late)
		}
		whole, late, later := fresh(), fresh(), fresh()
		if late.Skip(steps) == nil || late.Skip(-1) == nil {
			t.Fatal("more steps were skipped than there are")
		}
		if late.Skip(skip) != nil || later.Skip(skip) != nil {
			t.Fatal("steps could not be skipped")
		}
		if !slices.Equal(late.Timesteps(), whole.Timesteps()[skip:]) ||
			late.Level() != sigmas(whole)[skip] {
			t.Fatalf("%v at %v is no end of %v", late.Timesteps(), late.Level(), whole.Timesteps())
		}

		x, v := []float32{0.3, -1, 2}, []float32{0.5, 0.1, -0.2}
		y := slices.Clone(x)
		at = rapid.IntRange(0, steps-skip).Draw(t, "at")
		for i := range steps - skip {
			if i == at {
				copy(y, x)
				if err := later.Restore(i, len(y), late.State()); err != nil {
					t.Fatal(err)
				}
			}
			if err := late.Step(i, x, v); err != nil {
				t.Fatal(err)
			}
			if i >= at {
				if err := later.Step(i, y, v); err != nil || !slices.Equal(x, y) {
					t.Fatalf("step %d: %v and %v: %v", i, x, y, err)
				}
			}
			if i == 0 && late.Skip(0) == nil && steps-skip > 1 {
				t.Fatal("steps were skipped after the first one")
			}
		}
	})
}
