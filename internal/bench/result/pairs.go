package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Two runs that took turns clip by clip are the finest comparison that there is: a machine which
// becomes slower within a minute slows both clips of a pair down alike. What is left in a pair's
// ratio is the servers' difference, the order of the two, and whatever hit one of them alone, which
// has heavy tails. So the middle of the ratios counts, and not their mean.

const (
	// pairBlocks is into how many parts at most pairs are divided, for metrics that are no ratios of
	// pairs, and pairsMin how many each part has at least.
	pairBlocks, pairsMin = 16, 6
)

// sideBySide reports whether two results are the sides of one run.
func sideBySide(a, b []Result) bool {
	if len(a) != 1 || len(b) != 1 || a[0].Pair == nil || b[0].Pair == nil {
		return false
	}
	return a[0].Pair.ID == b[0].Pair.ID && a[0].Pair.Side != b[0].Pair.Side
}

// paired is the design of such results. A pair without one of its clips is left out whole.
func paired(a, b Result) design {
	other, all := map[int]Request{}, map[int]bool{}
	for _, q := range inPhase(b.Requests, PhaseMeasure) {
		other[q.Index], all[q.Index] = q, true
	}

	d := design{single: true, turns: true, ratios: []float64{}}
	for _, q := range inPhase(a.Requests, PhaseMeasure) {
		all[q.Index] = true
		p, ok := other[q.Index]
		if !ok || !q.OK() || !p.OK() || q.Prompt != p.Prompt || q.Seed != p.Seed {
			continue
		}
		delete(other, q.Index) // whatever a file repeats counts once
		d.a.requests, d.b.requests = append(d.a.requests, q), append(d.b.requests, p)
	}

	byIndex := func(x, y Request) int { return cmp.Compare(x.Index, y.Index) }
	slices.SortStableFunc(d.a.requests, byIndex)
	slices.SortStableFunc(d.b.requests, byIndex)
	n := len(d.a.requests)
	for i := range n {
		d.ratios = append(d.ratios, math.Log(d.b.requests[i].Latency/d.a.requests[i].Latency))
	}
	d.pairs, d.lost = n, len(all)-n
	d.text = fmt.Sprintf("paired: %d clips of each server, asked for in turn (A B B A)", n)

	usual(&d.a, &d.b, n)
	d.a.divide(a.Scenario.ObjectiveSeconds)
	d.b.divide(b.Scenario.ObjectiveSeconds)
	return d
}

// divide makes blocks of neighbours. A server's seconds are those in which it had a clip to make:
// in the others it waited for its turn.
func (s *side) divide(objective float64) {
	n := len(s.requests)
	k := max(1, min(pairBlocks, n/pairsMin))
	s.block, s.tallies = make([]int, n), make([]tally, k)
	for i, q := range s.requests {
		s.block[i] = i / 2 * 2 * k / n
		t := &s.tallies[s.block[i]]
		t.count(q, objective)
		t.seconds += q.Latency
	}
}

// byPairs returns the typical latencies of both sides, and the standard deviation of the logarithm
// of their ratio with its degrees of freedom (0 if there are too few pairs). The ratio is the
// trimmed mean of the pairs' ratios, whose deviation is that of their winsorized values divided by
// the share that is left (Tukey and McLaughlin, "Less vulnerable confidence and significance
// procedures for location based on a single sample", 1963).
//
// Of two neighbours one had A first and the other B, so the deviation is of means of two, in which
// the order cancels. Neighbours of these may still be alike: covariances count with Bartlett's
// weights (Newey and West, 1987) where they add to it, and not where they take from it.
func (d design) byPairs() (a, b, e, df float64) {
	n := len(d.ratios)
	if n == 0 {
		return 0, 0, math.NaN(), 0
	}
	sorted := slices.Sorted(slices.Values(d.ratios))
	cut := int(trimmed * float64(n))
	low, high := sorted[cut], sorted[n-1-cut]
	middle := sum(d.a.usual) / float64(n)
	half := sum(sorted[cut:n-cut]) / float64(n-2*cut) / 2
	a, b = math.Exp(middle-half), math.Exp(middle+half)

	m := n / 2
	if m < 2 {
		return a, b, math.NaN(), 0
	}
	twos := make([]float64, m)
	for i := range twos {
		twos[i] = (clamp(d.ratios[2*i], low, high) + clamp(d.ratios[2*i+1], low, high)) / 2
	}
	e = math.Sqrt(longRun(twos)/float64(m)) / (1 - 2*trimmed)
	e = math.Sqrt(e*e + 2*starts*starts) // as in deviation
	return a, b, e, float64(m - 2*int(trimmed*float64(m)) - 1)
}

// clamp returns what of a value lies within bounds.
func clamp(v, low, high float64) float64 { return min(max(v, low), high) }

// longRun is the variance of values in their order, times their number that of their mean: with the
// covariances of neighbours up to the cube root of the number, if these add to it.
func longRun(values []float64) float64 {
	n := float64(len(values))
	mean := sum(values) / n
	covariance := func(lag int) (s float64) {
		for i := lag; i < len(values); i++ {
			s += (values[i] - mean) * (values[i-lag] - mean)
		}
		return s / (n - 1)
	}

	lags := int(math.Cbrt(n))
	own := covariance(0)
	all := own
	for lag := 1; lag <= lags; lag++ {
		all += 2 * (1 - float64(lag)/float64(lags+1)) * covariance(lag)
	}
	return max(own, all)
}
