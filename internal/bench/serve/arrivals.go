package serve

import (
	"math/rand/v2"
	"slices"
	"time"
)

// What random numbers are drawn for. Each has a stream of its own, so that more of one changes
// nothing of another.
const (
	streamArrivals = iota + 1
	streamSeeds
	streamPrompts
	streamFaults
	streamFidelity
)

// stream returns the random numbers of a purpose, and of a point of a sweep or a trace's lap.
// They are PCG's (O'Neill 2014), which math/rand/v2 promises to keep.
func stream(seed uint64, purpose, lap int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(purpose)<<32|uint64(lap)))
}

// poisson returns when n clips arrive in a window, from its start on, if none knows of another:
// given how many there are, the times of a Poisson process are sorted uniform numbers (Ross,
// Stochastic Processes, 2.3). So the rate of a window is exactly the one that was asked for, where
// exponential gaps would miss it by 1/sqrt(n); and all points of a sweep have the same arrivals,
// only closer together, which makes them comparable.
func poisson(rng *rand.Rand, n int, window time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(rng.Float64() * float64(window))
	}
	slices.Sort(out)
	return out
}

// Seeds are drawn and not counted up: neighbouring seeds of one run would be seeds of the next one.

// seedOf is the seed of a clip's noise. It depends on the setup's seed and the clip's number, and
// on nothing else: clip 7 is the same clip at any rate. Only the lowest 32 bits of a seed count for
// the noise (see docs/api.md), so more would be no other clips.
func seedOf(seed uint64, index int) uint64 {
	return uint64(stream(seed, streamSeeds, index).Uint32())
}
