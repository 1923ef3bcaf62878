package serve

import (
	"math"
	"slices"

	"github.com/longtake/longtake/internal/bench/result"
)

// These figures are for people who watch a run, and for decisions within it. Those of the result
// are package result's, with intervals.

// completions is the rate at which clips were completed, in clips a second: from the first to the
// last, so that neither the way to the first nor a slow start is in it. 0 for fewer than two.
func completions(made []result.Request) float64 {
	if len(made) < 2 {
		return 0
	}
	first, last := made[0].Done(), made[0].Done()
	for _, r := range made {
		first, last = min(first, r.Done()), max(last, r.Done())
	}
	return float64(len(made)-1) / math.Max(last-first, 1e-9)
}

// latency of a clip, in seconds.
func latency(r result.Request) float64 { return r.Latency }

// median of a value of the clips, the lower one of an even number; 0 of none.
func median(clips []result.Request, of func(result.Request) float64) float64 {
	all := make([]float64, len(clips))
	for i, r := range clips {
		all[i] = of(r)
	}
	slices.Sort(all)
	return result.Percentile(all, 0.5)
}
