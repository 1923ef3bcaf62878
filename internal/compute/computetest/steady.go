package computetest

import (
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/underrace"
)

// attentionKeepsItsSums checks what a running maximum does to earlier sums, on rows whose results
// are known: nothing at all while it stays, and everything where it rises in one row alone. All
// numbers are whole, and every weight is a fraction of few, so that the bound is that of float32.
//
// Weights that shrink by 1 - 2^-24 in every tile are within the tolerance of other tests, which
// have few tiles; over the tens of thousands of keys of a clip they are not.
func (s *suite) attentionKeepsItsSums(t *testing.T) {
	const nq, nk, size = 64, 800, 8
	for _, dt := range underrace.Some([]compute.DType{compute.FP32, compute.BF16}, 1) {
		for _, hd := range []int{64, 128} {
			c := &attentionCase{nq: nq, nk: nk, heads: 1, hd: hd, scale: 1, dtype: dt}
			c.q, c.k, c.v = make([]float32, nq*hd), make([]float32, nk*hd), make([]float32, nk*hd)
			fill(c.v, 5)

			// The first key and the last one lie far ahead for query 0: half of each, at the end as well.
			fill(c.q[:hd/2], 7)
			fill(c.k[:hd/2], size)
			fill(c.k[(nk-1)*hd:], size)
			fill(c.v[:hd], 1)
			fill(c.v[(nk-1)*hd:], -1)

			// The last key alone does for two others, among queries to which all keys are the same: one
			// row of those that a kernel handles together, in the lower and in the upper half of them. The
			// logit is a power of two, so that its weight is exactly 1 to a device that takes powers of 2.
			for _, i := range []int{13, 33} {
				fill(c.q[i*hd+hd/2:(i+1)*hd], 2)
			}
			close(t, c.run(t, s.open(t, 2), 0, nq), c.want(), 1e-6)
		}
	}
}

// fill sets all of x.
func fill(x []float32, to float32) {
	for i := range x {
		x[i] = to
	}
}
