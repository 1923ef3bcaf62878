package result

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

const (
	// resamples is how many times samples are drawn again for an interval.
	resamples = 2000
	// tail is what a 95 % interval leaves out on each side.
	tail = 0.025
	// blocksMax is how many blocks of samples are drawn from: more would only take longer.
	blocksMax = 1000
)

// Percentile returns the nearest-rank percentile of sorted values (Hyndman and Fan's type 1): the
// smallest value that at least a share p of them do not exceed. It is always a value that was
// measured. 0 of none.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[rank(len(sorted), p)-1]
}

// rank returns which of n sorted values is the percentile p, from 1 on.
func rank(n int, p float64) int {
	return min(n, max(1, int(math.Ceil(p*float64(n)-1e-9))))
}

// Needed returns how many independent samples it takes to bound a percentile from above with a
// confidence of 97.5 %, whatever the distribution: so many that the largest of them exceeds the
// percentile that often. p50 needs 6, p90 36, p99 368.
func Needed(p float64) int { return int(math.Ceil(math.Log(tail) / math.Log(p))) }

// percentile estimates a percentile of sorted values. The interval is the bootstrap's with
// infinitely many resamples, in which the k-th of n drawn values is at most the i-th of the given
// ones with the probability that k or more of n draws are among those i.
func percentile(sorted []float64, p float64) Estimate {
	n := len(sorted)
	if n == 0 {
		return Estimate{Few: true}
	}
	k := rank(n, p)
	return Estimate{Value: sorted[k-1], Low: sorted[drawn(n, k, tail)],
		High: sorted[drawn(n, k, 1-tail)], Few: n < Needed(p)}
}

// drawn returns the index of the smallest of n sorted values that the k-th of n values drawn from
// them does not exceed with at least that probability.
func drawn(n, k int, probability float64) int {
	low, high := 0, n-1
	for low < high {
		mid := (low + high) / 2
		if mathext.RegIncBeta(float64(k), float64(n-k+1), float64(mid+1)/float64(n)) >= probability {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// ratio estimates the sum of over divided by the sum of under, by a bootstrap with percentile
// intervals. Long lists are drawn in blocks of neighbours. Fewer than six samples are marked.
func ratio(over, under []float64, seed uint64) Estimate {
	n := len(over)
	if n == 0 {
		return Estimate{Few: true}
	}
	// Both sums of a draw are of the same requests: what is estimated is a ratio, not two means.
	a, b := inBlocks(over), inBlocks(under)
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float64, resamples)

	for i := range values {
		var sa, sb float64
		for range a {
			j := rng.IntN(len(a))
			sa, sb = sa+a[j], sb+b[j]
		}
		values[i] = sa / sb
	}
	slices.Sort(values)
	return Estimate{Value: sum(over) / sum(under), Low: Percentile(values, tail),
		High: Percentile(values, 1-tail), Few: n < Needed(0.5)}
}

// inBlocks sums up neighbours, so that at most blocksMax values remain. As neighbours are alike,
// this makes intervals a little wider, and never narrower than what single requests would give.
func inBlocks(values []float64) []float64 {
	size := (len(values) + blocksMax - 1) / blocksMax
	var out []float64
	for block := range slices.Chunk(values, max(1, size)) {
		out = append(out, sum(block))
	}
	return out
}

// share estimates a share of n by Wilson's score interval (1927), which stays between 0 and 1 and
// has a width where none or all of few samples are counted.
func share(met, n int) Estimate {
	if n == 0 {
		return Estimate{Few: true}
	}
	const z = 1.959964 // of a normal distribution, for 95 %
	p, m := float64(met)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Estimate{Value: p, Low: max(0, middle-half), High: min(1, middle+half),
		Few: n < Needed(0.5)}
}

// distribution is of values in the order in which they were measured. The order matters only to the
// blocks of long lists.
func distribution(values []float64, seed uint64) Distribution {
	if len(values) == 0 {
		return Distribution{}
	}
	ones := slices.Repeat([]float64{1}, len(values))
	sorted := slices.Sorted(slices.Values(values))
	return Distribution{N: len(values), Mean: ratio(values, ones, seed),
		Min: sorted[0], Max: sorted[len(sorted)-1],
		P50: percentile(sorted, 0.5), P90: percentile(sorted, 0.9), P99: percentile(sorted, 0.99)}
}

// sum adds up in the order of the values, so that it is the same each time: rounding depends on the
// order, and figures of one file have to be the same bytes whenever they are made.
func sum(values []float64) float64 {
	var s float64
	for _, v := range values {
		s += v
	}
	return s
}
