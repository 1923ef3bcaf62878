package partition

import (
	"fmt"
	"math"
)

// Range is a half-open run of indexes [Lo, Hi): of tokens, heads, windows or frames.
type Range struct{ Lo, Hi int }

// Len returns the number of indexes.
func (r Range) Len() int { return r.Hi - r.Lo }

// Even tiles [0, n) with a number of ranges whose sizes differ by at most one, larger ones first.
// With more parts than n, the last ones are empty.
func Even(n, parts int) []Range {
	out, lo := make([]Range, parts), 0
	for i := range out {
		size := n / parts
		if i < n%parts {
			size++
		}
		out[i] = Range{lo, lo + size}
		lo += size
	}
	return out
}

// Weighted tiles [0, n) with one range per weight, in proportion as far as whole numbers allow:
// each range has at least one index, and the largest ratio of size to weight is as small as it can
// be. With speeds as weights, the slowest part of a step is then as quick as possible. It panics if
// n is smaller than the number of weights or a weight is not positive.
func Weighted(n int, weights []float64) []Range {
	sum := 0.0
	for _, w := range weights {
		if !(w > 0) {
			panic(fmt.Sprintf("partition: weight %v is not positive", w))
		}
		sum += w
	}

	if n < len(weights) {
		panic(fmt.Sprintf("partition: %d cannot be shared by %d", n, len(weights)))
	}

	// Shares rounded down, or up to one, miss the total by a few either way.
	sizes, left := make([]int, len(weights)), n
	for i, w := range weights {
		sizes[i] = max(1, min(n, int(float64(n)*(w/sum))))
		left -= sizes[i]
	}

	for ; left > 0; left-- {
		sizes[best(sizes, weights, 1)]++
	}
	for ; left < 0; left++ {
		sizes[best(sizes, weights, -1)]--
	}
	return tile(sizes)
}

// best returns the index whose size should change by one: to grow, the one that then has the least
// for its weight; to shrink, the one of more than 1 that has the most.
func best(sizes []int, weights []float64, by int) int {
	at, least := -1, math.Inf(1)
	for i, n := range sizes {
		load := float64(n+1) / weights[i]
		if by < 0 {
			load = -float64(n) / weights[i]
		}
		if (by > 0 || n > 1) && (at < 0 || load < least) {
			at, least = i, load
		}
	}
	return at
}

// tile lays ranges of the given sizes end to end.
func tile(sizes []int) []Range {
	out, lo := make([]Range, len(sizes)), 0
	for i, s := range sizes {
		out[i] = Range{lo, lo + s}
		lo += s
	}
	return out
}
