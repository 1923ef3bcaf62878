package partition

import (
	"fmt"
	"math"
)

// Range is a half-open run of indexes [Lo, Hi).
type Range struct{ Lo, Hi int }

// Len returns the number of indexes.
func (r Range) Len() int { return r.Hi - r.Lo }

// Even tiles [0, n) with parts ranges whose sizes differ by at most one, larger ones first.
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

// Weighted tiles [0, n) with one range per weight, in proportion as far as whole numbers allow: the
// largest ratio of size to weight is as small as it can be, while each range is at least one long.
// It panics when n is smaller than the number of weights or a weight is not positive.
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

// best returns whose size is to change by one: to grow, who then has the least for its weight; to
// shrink, who has the most for it and more than one.
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

func tile(sizes []int) []Range {
	out, lo := make([]Range, len(sizes)), 0
	for i, s := range sizes {
		out[i] = Range{lo, lo + s}
		lo += s
	}
	return out
}
