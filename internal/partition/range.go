package partition

import (
	"cmp"
	"fmt"
	"slices"
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

// Weighted tiles [0, n) with one range per weight, in proportion (largest remainder), each at least
// one long. It panics when n is smaller than the number of weights or a weight is not positive.
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
	spare := n - len(weights)
	sizes, rest, order := make([]int, len(weights)), make([]float64, len(weights)), make([]int, 0)
	left := spare
	for i, w := range weights {
		share := float64(spare) * (w / sum)
		whole := min(int(share), left)
		sizes[i], rest[i], order = 1+whole, share-float64(whole), append(order, i)
		left -= whole
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rest[b], rest[a]) })
	for i := range left {
		sizes[order[i%len(order)]]++
	}
	return tile(sizes)
}

func tile(sizes []int) []Range {
	out, lo := make([]Range, len(sizes)), 0
	for i, s := range sizes {
		out[i] = Range{lo, lo + s}
		lo += s
	}
	return out
}
