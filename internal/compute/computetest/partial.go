package computetest

import (
	"math"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// attentionParts checks devices that attend to the keys a part at a time: what they merge is
// attention over all keys, and the logarithms of the sums are those of all keys.
func (s *suite) attentionParts(t *testing.T) {
	partial(t, s.open(t, 1))
	s.rowwise(t, func(t *rapid.T) *trial {
		c := &partsCase{attentionCase: drawAttentionCase(t)}
		if rapid.Bool().Draw(t, "relative bias") {
			c.rel = drawNumbers(t).normal(c.heads*(c.nq+c.nk-1), 1)
		}
		c.cuts = []int{0, c.nk}
		for range rapid.IntRange(0, 3).Draw(t, "cuts") {
			if at := rapid.IntRange(1, c.nk).Draw(t, "cut"); !slices.Contains(c.cuts, at) {
				c.cuts = append(c.cuts, at)
			}
		}
		slices.Sort(c.cuts)
		return &trial{
			rows: c.nq, cols: c.width() + c.heads, run: c.run, want: c.want(), tol: c.tol(),
			poison: func(i int) { spoil(c.q, i, c.width()) },
		}
	})
}

// partial skips a test on devices that attend to all keys at once only.
func partial(t *testing.T, dev compute.Device) {
	if _, ok := dev.(compute.PartialAttention); !ok {
		t.Skip("the device has no partial attention")
	}
}

// partsCase is attention over keys [cuts[0], cuts[1]), [cuts[1], cuts[2]), ..., merged. Its result
// is [nq, heads·hd + heads]: attention, then the logarithms.
type partsCase struct {
	*attentionCase
	cuts []int
}

func (c *partsCase) run(t fataler, dev compute.Device, lo, hi int) []float32 {
	t.Helper()
	r, parts := c.on(t, dev), dev.(compute.PartialAttention)
	q := r.place(c.q, c.nq, c.width()).RowRange(lo, hi)
	result := r.fresh(c.nq, c.width()+c.heads)
	dst := result.RowRange(lo, hi).ColRange(0, c.width())
	lse := result.RowRange(lo, hi).ColRange(c.width(), c.width()+c.heads)
	for i, k0 := range c.cuts[:len(c.cuts)-1] {
		k1 := c.cuts[i+1]
		part := func(v []float32) compute.Mat {
			return r.place(v[k0*c.width():k1*c.width()], k1-k0, c.width())
		}
		k, v, args := part(c.k), part(c.v), c.args(r, lo, hi, k0, k1)
		if i == 0 {
			parts.AttentionPart(dst, lse, q, k, v, args)
			continue
		}
		o, l := r.fresh(hi-lo, c.width()), r.fresh(hi-lo, c.heads)
		parts.AttentionPart(o, l, q, k, v, args)
		parts.MergeAttention(dst, lse, o, l)
	}
	return r.take(result, lo, hi)
}

// args are the arguments for queries [lo, hi) and keys [k0, k1).
func (c *partsCase) args(r *rig, lo, hi, k0, k1 int) compute.AttentionArgs {
	a := compute.AttentionArgs{Heads: c.heads, Scale: c.scale, DType: c.dtype}
	if k1 == c.nk {
		a.LastKeyBias = c.last
	}
	if c.rel != nil && hi > lo {
		b := r.place(c.rel, c.heads, c.nq+c.nk-1).ColRange(c.nq-hi+k0, c.nq-lo+k1-1)
		a.RelBias = &b
	}
	return a
}

func (c *partsCase) want() []float64 {
	whole, out := c.attentionCase.want(), []float64(nil)
	for i := range c.nq {
		out = append(out, whole[i*c.width():(i+1)*c.width()]...)
		for h := range c.heads {
			out = append(out, c.logSum(h, i))
		}
	}
	return out
}

// logSum is the logarithm of the sum of the exponentials of a query's logits.
func (c *partsCase) logSum(h, i int) float64 {
	logits, total := c.logits(h, i), 0.0
	most := slices.Max(logits)
	for _, l := range logits {
		total += math.Exp(l - most)
	}
	return most + math.Log(total)
}

// attentionUnreachable checks that a part in which every logit is -infinity changes nothing, to the
// bit, whether it comes first or last.
func (s *suite) attentionUnreachable(t *testing.T) {
	dev := s.open(t, 1)
	partial(t, dev)
	r := numbersFrom(3)
	c := &partsCase{attentionCase: &attentionCase{nq: 5, nk: 70, heads: 2, hd: 8, scale: 1}}
	c.q, c.k = r.normal(5*16, 1), r.normal(70*16, 1)
	c.v, c.cuts = r.normal(70*16, 1), []int{0, 70}
	alone := c.run(t, dev, 0, c.nq)
	for _, far := range []int{0, 70} { // ten keys from here on are out of reach
		d := &partsCase{attentionCase: &attentionCase{nq: 5, nk: 80, heads: 2, hd: 8, scale: 1}}
		d.q, d.cuts = c.q, []int{0, max(far, 10), 80}
		d.k = slices.Insert(slices.Clone(c.k), far*16, c.k[:10*16]...)
		d.v = slices.Insert(slices.Clone(c.v), far*16, c.v[:10*16]...)
		d.rel = make([]float32, 2*84)
		for key := far; key < far+10; key++ {
			d.rel[key+4] = float32(math.Inf(-1)) // for query 0
			d.rel[84+key+4] = d.rel[key+4]
		}
		same(t, d.run(t, dev, 0, 1), alone[:18], "keys from %d on weigh nothing", far)
	}
}
