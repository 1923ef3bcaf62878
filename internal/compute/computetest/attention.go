package computetest

import (
	"math"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/underrace"
	"pgregory.net/rapid"
)

// attentionCase is a drawn attention of nq queries and nk keys, heads of width hd.
type attentionCase struct {
	placing
	nq, nk, heads, hd int
	q, k, v           []float32 // [nq, width], [nk, width], [nk, width]
	scale, last       float32   // of logits; added to the last key's
	rel               []float32 // [heads, nq+nk-1], nil for none
	dtype             compute.DType
	tiles             *compute.KeyTiles // nil: all keys
}

// width is that of q, k, v and the result. A rank may hold some of the heads only, as columns of
// these.
func (c *attentionCase) width() int { return c.heads * c.hd }

// drawAttentionCase draws attention without relative positions, which callers add. Logits are of
// order one, as the scale is that of models. Larger ones would make the softmax nearly one-hot,
// which hides errors in all keys but one.
func drawAttentionCase(t *rapid.T) *attentionCase {
	c := &attentionCase{
		placing: drawPlacing(t),
		nq:      drawSize(t, "queries", 70), nk: drawSize(t, "keys", 200),
		heads: rapid.IntRange(1, 3).Draw(t, "heads"),
		hd:    rapid.SampledFrom(headDims).Draw(t, "head dim"),
		dtype: drawDType(t),
	}

	r := drawNumbers(t)
	c.q = r.normal(c.nq*c.width(), 1)
	c.k = r.normal(c.nk*c.width(), 1)
	c.v = r.normal(c.nk*c.width(), 1)
	c.scale = float32(1 / math.Sqrt(float64(c.hd)))
	if rapid.Bool().Draw(t, "last key bias") {
		c.last = float32(math.Log(float64(rapid.IntRange(1, 500).Draw(t, "count"))))
	}
	return c
}

// drawAttention draws attention whose queries are the independent rows. Queries do not see each
// other, so a sequence may be cut at any of them.
func drawAttention(t *rapid.T) *trial {
	c := drawAttentionCase(t)
	return &trial{
		rows: c.nq, cols: c.width(), run: c.run, want: c.want(), tol: c.tol(),
		poison: func(i int) { spoil(c.q, i, c.width()) },
	}
}

// run computes queries [lo, hi) of all heads.
func (c *attentionCase) run(t fataler, dev compute.Device, lo, hi int) []float32 {
	t.Helper()
	return c.runPart(t, dev, lo, hi, 0, c.heads)
}

// runPart computes queries [lo, hi) of heads [h0, h1) and returns those columns. Columns of the
// other heads lie between its rows, as they do where ranks share one buffer.
func (c *attentionCase) runPart(t fataler, dev compute.Device, lo, hi, h0, h1 int) []float32 {
	t.Helper()
	r := c.on(t, dev)
	cols := func(m compute.Mat) compute.Mat { return m.ColRange(h0*c.hd, h1*c.hd) }
	k := cols(r.place(c.k, c.nk, c.width()))
	v := cols(r.place(c.v, c.nk, c.width()))
	q := cols(r.place(c.q, c.nq, c.width()).RowRange(lo, hi))
	dst := r.fresh(c.nq, (h1-h0)*c.hd)

	args := compute.AttentionArgs{Heads: h1 - h0, Scale: c.scale, LastKeyBias: c.last,
		DType: c.dtype, Tiles: c.tiles}

	// Of the relative positions, those of these queries: query lo is nq-1-lo before the end.
	if c.rel != nil && hi > lo {
		b := r.place(c.rel, c.heads, c.nq+c.nk-1).RowRange(h0, h1)
		b = b.ColRange(c.nq-hi, c.nq-hi+(hi-lo)+c.nk-1)
		args.RelBias = &b
	}
	dev.Attention(dst.RowRange(lo, hi), q, k, v, args)
	return r.take(dst, lo, hi)
}

// tol is what rounding the probabilities costs: half a unit in the last of eight places, times the
// largest value, which is below eight.
func (c *attentionCase) tol() float64 {
	if c.dtype == compute.BF16 {
		return 8.0 / 512
	}
	return 0
}

// want is the reference's result. It rounds q, k and v as products of the type see them, but not
// the probabilities; tol allows for that. Softmax needs two passes over the logits here, where
// devices keep a running maximum.
func (c *attentionCase) want() []float64 {
	out := make([]float64, c.nq*c.width())
	for h := range c.heads {
		for i := range c.nq {
			p := c.probabilities(h, i)
			for j, x := range p {
				for d := range c.hd {
					at := h*c.hd + d
					out[i*c.width()+at] += x * rounded(c.v[j*c.width()+at], c.dtype)
				}
			}
		}
	}
	return out
}

// logits returns those of query i of a head: scaled products, relative positions, and the bias of
// the last key. Entry j-i+nq-1 of the table is the bias of key j seen from query i, so the table
// has a place for every distance from -(nq-1) to nk-1.
func (c *attentionCase) logits(h, i int) []float64 {
	p := make([]float64, c.nk)
	for j := range p {
		dot := 0.0
		for d := range c.hd {
			at := h*c.hd + d
			dot += rounded(c.q[i*c.width()+at], c.dtype) * rounded(c.k[j*c.width()+at], c.dtype)
		}
		p[j] = dot * float64(c.scale)
		if c.rel != nil {
			p[j] += float64(c.rel[h*(c.nq+c.nk-1)+j-i+c.nq-1])
		}
	}
	p[c.nk-1] += float64(c.last)

	if c.tiles != nil {
		c.mask(p, i)
	}
	return p
}

// probabilities returns the softmax of the logits of query i of a head.
func (c *attentionCase) probabilities(h, i int) []float64 {
	p, total := c.logits(h, i), 0.0
	most := slices.Max(p)
	for j := range p {
		p[j] = math.Exp(p[j] - most)
		total += p[j]
	}
	for j := range p {
		p[j] /= total
	}
	return p
}

// attentionHeads checks that a range of heads alone, as column ranges, has the same bits: ranks
// attend for some heads over all tokens. A device that chooses its tiles by the number of heads,
// and sums in another order then, fails here: a clip would change with the number of shards.
func (s *suite) attentionHeads(t *testing.T) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawAttentionCase(t)
		if rapid.Bool().Draw(t, "relative bias") {
			c.rel = drawNumbers(t).normal(c.heads*(c.nq+c.nk-1), 1)
		}
		dev := rapid.SampledFrom(devs).Draw(t, "device")

		whole := c.run(t, devs[0], 0, c.nq)
		h0 := rapid.IntRange(0, c.heads-1).Draw(t, "h0")
		h1 := rapid.IntRange(h0+1, c.heads).Draw(t, "h1")

		wide := (h1 - h0) * c.hd
		part := c.runPart(t, dev, 0, c.nq, h0, h1)
		for i := range c.nq {
			want := whole[i*c.width()+h0*c.hd:][:wide]
			same(t, part[i*wide:(i+1)*wide], want, "row %d of heads [%d, %d)", i, h0, h1)
		}
	})
}

// attentionRelBias checks relative positions against the reference and over ranges of queries,
// whose biases begin at another place of the table. A kernel that counts the bias from the start of
// the call, and not of the sequence, passes for whole calls and fails for ranges.
func (s *suite) attentionRelBias(t *testing.T) {
	s.rowwise(t, func(t *rapid.T) *trial {
		c := drawAttentionCase(t)
		c.rel = drawNumbers(t).normal(c.heads*(c.nq+c.nk-1), 2)
		return &trial{rows: c.nq, cols: c.width(), run: c.run, want: c.want(), tol: c.tol()}
	})
}

// attentionPadded checks the rule that n identical last keys equal one with log(n) added: the one
// is held to 1e-6 (root mean square) of the exact softmax over all n. The n themselves are the less
// exact side (equal addends round the same way, sum after sum) and get the usual tolerance. Wan's
// prompts are padded to 512 tokens that all look alike; the rule saves attending to each of them.
func (s *suite) attentionPadded(t *testing.T) {
	dev := s.open(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		c := drawAttentionCase(t)
		c.dtype = compute.FP32
		n := rapid.IntRange(1, 512).Draw(t, "copies")
		c.last = float32(math.Log(float64(n)))
		one := c.run(t, dev, 0, c.nq)

		// The same with n copies of the last key instead of its bias.
		k, v := c.k[(c.nk-1)*c.width():], c.v[(c.nk-1)*c.width():]
		c.last = 0
		for range n - 1 {
			c.k, c.v = append(c.k, k...), append(c.v, v...)
			c.nk++
		}

		many := c.run(t, dev, 0, c.nq)
		want := c.want() // over all the copies
		if e := rms(one, want); !(e <= max(1e-6, s.tol/10)) {
			t.Fatalf("one key for %d identical ones is off by %g of the values' size", n, e)
		}
		close(t, many, want, s.tol)
	})
}

// rms returns the root mean square of got-want over 1 + that of want: an error that single elements
// near zero do not dominate.
func rms(got []float32, want []float64) float64 {
	var diff, size float64
	for i, w := range want {
		diff += (float64(got[i]) - w) * (float64(got[i]) - w)
		size += w * w
	}
	n := float64(len(want))
	return math.Sqrt(diff/n) / (1 + math.Sqrt(size/n))
}

// attentionLarge checks logits of thousands, which overflow without a running maximum. Whole
// numbers keep them exact. Without subtracting the maximum first, exp overflows float32 from 89 on,
// and where all logits are far below zero the sum would be 0.
func (s *suite) attentionLarge(t *testing.T) {
	dev := s.open(t, 2)
	for _, size := range []float64{1, 40, -40} {
		r := numbersFrom(7)

		// Whole numbers of this size have exact products and sums in float32.
		c := &attentionCase{nq: 17, nk: 150, heads: 2, hd: 16, scale: 1}
		whole := func(n int, scale float64) []float32 {
			v := r.normal(n, scale)
			for i := range v {
				v[i] = float32(math.Round(float64(v[i])))
			}
			return v
		}
		c.q, c.k = whole(c.nq*32, math.Abs(size)), whole(c.nk*32, 10)
		c.v = r.normal(c.nk*32, 1)

		// Every logit far below zero.
		if size < 0 {
			for i := range c.k {
				c.k[i] = -float32(math.Abs(float64(c.k[i])))
			}
			for i := range c.q {
				c.q[i] = float32(math.Abs(float64(c.q[i])))
			}
		}
		close(t, c.run(t, dev, 0, c.nq), c.want(), s.tol)
	}
}

// attentionOfManyRows attends for more queries than a block of any device has, then for a few of
// them alone, which lie at other places of their blocks. It catches sums that depend on where in a
// block a query lies, and blocks that are left out at the end.
func (s *suite) attentionOfManyRows(t *testing.T) {
	const nq, nk, few = 300, 70, 37
	r, dev := numbersFrom(1), s.open(t, 2)
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		for _, hd := range []int{32, 64, 128} {
			c := &attentionCase{nq: nq, nk: nk, heads: 2, hd: hd, scale: 0.1, dtype: dt}
			c.q, c.k = r.normal(nq*c.width(), 1), r.normal(nk*c.width(), 1)
			c.v = r.normal(nk*c.width(), 1)
			if hd == 64 {
				c.rel = r.normal(c.heads*(nq+nk-1), 1)
			}

			all := c.run(t, dev, 0, nq)
			for lo := 0; lo < nq; lo += few {
				hi := min(lo+few, nq)
				same(t, c.run(t, dev, lo, hi), all[lo*c.width():hi*c.width()], "%v: queries [%d, %d)",
					dt, lo, hi)
			}
		}
	}
}

// attentionOfManyKeys attends to more keys than any device has in a tile. The later ones have the
// larger logits, so that the running maximum keeps rising and earlier sums have to shrink. A kernel
// that forgets to rescale its sums when the maximum rises weighs the early keys too much.
func (s *suite) attentionOfManyKeys(t *testing.T) {
	const nq, nk = 150, 700
	r, dev := numbersFrom(1), s.open(t, 2)
	for _, dt := range underrace.Some([]compute.DType{compute.FP32, compute.BF16}, 1) {
		for _, hd := range []int{64, 128} {
			c := &attentionCase{nq: nq, nk: nk, heads: 1, hd: hd, dtype: dt,
				scale: float32(1 / math.Sqrt(float64(hd)))}
			c.q, c.k, c.v = r.normal(nq*hd, 1), r.normal(nk*hd, 1), r.normal(nk*hd, 1)
			for i := range c.k {
				c.k[i] *= 1 + float32(i/hd)/200
			}
			close(t, c.run(t, dev, 0, nq), c.want(), max(s.tol, c.tol()))
		}
	}
}
