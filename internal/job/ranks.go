package job

import "slices"

// Names of a result's extra numbers that are about its ranks. They are in Raft, and do not change.
const (
	extraCommunication = "communication_share"
	extraCompute       = "rank_compute_seconds"
	extraWait          = "rank_wait_seconds"
	extraSent          = "rank_sent_bytes"
	extraSlowest       = "slowest_rank"
	extraSlowestSteps  = "slowest_rank_steps"
	extraSlowestStep   = "slowest_step_seconds"
)

// Spread is how values of ranks differ. Of an even number of ranks, Median is the lower of the two
// in the middle, so that each of the three is the value of some rank.
type Spread struct{ Min, Median, Max float64 }

// A median that is the mean of two ranks would be nobody's, and of two ranks one of which takes
// twice as long it would say that the slow one is 1.33 times as slow as usual, and not twice.

// SpreadOf returns the spread of values, of which there is at least one.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{sorted[0], sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]}
}

// RankStats says how the ranks of a clip's last attempt differ from each other. Three numbers stand
// for all ranks, since there may be a thousand of them and results are replicated.
type RankStats struct {
	// Communication is the share of the steps' time, the mean over ranks, in which a rank computed
	// nothing because it waited for a message: for its way, or for a rank that is slower.
	Communication float64
	// Compute and Wait are the seconds of all steps in which a rank computed, and waited. Sent are
	// the bytes that it sent in the attempt.
	Compute, Wait, Sent Spread
	// Slowest is the rank that computed longest, and SlowestSteps the share of the steps in which it
	// was the slowest of all.
	Slowest      int
	SlowestSteps float64
	// SlowestStep is the longest step, in seconds.
	SlowestStep float64
}

// Straggling returns how many times as long as the median rank the slowest one computed; 1 where
// nothing is known.
func (s RankStats) Straggling() float64 {
	if s.Compute.Median <= 0 {
		return 1
	}
	return s.Compute.Max / s.Compute.Median
}

// spreads lists those of s by the names under which a result has them.
func (s *RankStats) spreads() map[string]*Spread {
	return map[string]*Spread{extraCompute: &s.Compute, extraWait: &s.Wait, extraSent: &s.Sent}
}

// Extras are numbers with names, which results have had from the first release on: a coordinator of
// the release before keeps them as they are, and shows them to nobody. So no new version of the
// commands in Raft is needed for them.

// Extra returns s as a result keeps it.
func (s RankStats) Extra() map[string]float64 {
	out := map[string]float64{extraCommunication: s.Communication,
		extraSlowest: float64(s.Slowest), extraSlowestSteps: s.SlowestSteps,
		extraSlowestStep: s.SlowestStep}
	for name, v := range s.spreads() {
		out[name+"_min"], out[name+"_median"], out[name+"_max"] = v.Min, v.Median, v.Max
	}
	return out
}

// Ranks returns what a result says of its ranks; false where it says nothing, as that of a clip
// which was made by an earlier release, or one whose denoising was not part of the last attempt.
func (r Result) Ranks() (s RankStats, ok bool) {
	if _, ok = r.Extra[extraCommunication]; !ok {
		return s, false
	}
	s.Communication, s.SlowestStep = r.Extra[extraCommunication], r.Extra[extraSlowestStep]
	s.SlowestSteps = r.Extra[extraSlowestSteps]
	if n := r.Extra[extraSlowest]; n >= 0 && n < NodesLimit {
		s.Slowest = int(n)
	}
	for name, v := range s.spreads() {
		*v = Spread{r.Extra[name+"_min"], r.Extra[name+"_median"], r.Extra[name+"_max"]}
	}
	return s, true
}
