package computetest

import (
	"math"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// normCase is a drawn norm, or elementwise operation, over the rows of x. One type serves them all,
// as they differ in little but the operation: what an operation does not use stays nil or zero.
type normCase struct {
	placing
	n, d         int       // rows and width
	x            []float32 // [n, d]
	inPlace      bool      // dst is x
	eps          float32
	gain, bias   []float32          // [d]; nil: left out
	scale, shift *gateCase          // modulation of a layer norm
	act          compute.Activation // of a channel norm, or alone
	hd           int                // head width of the rotation, 0 for none
	cos, sin     []float32          // [n, hd/2]
}

// drawNorm draws rows of a width, whose values are of any size between a tenth and ten, mostly, and
// a gain. It returns the source of the values for what the caller adds.
func drawNorm(t *rapid.T, width int) (*normCase, numbers) {
	r := drawNumbers(t)
	c := &normCase{
		placing: drawPlacing(t), n: drawSize(t, "n", 70), d: width,
		inPlace: rapid.Bool().Draw(t, "in place"),
		eps:     1e-6,
	}
	c.x = r.normal(c.n*c.d, math.Exp(r.NormFloat64()))
	c.gain = r.normal(c.d, 1)
	return c, r
}

// trial returns the trial of op, which gets rows [lo, hi) of dst and x and takes what else it needs
// from the case. want is the reference's result.
func (c *normCase) trial(want []float64,
	op func(r *rig, dst, x compute.Mat, lo, hi int)) *trial {
	run := func(t fataler, dev compute.Device, lo, hi int) []float32 {
		t.Helper()
		r := c.on(t, dev)
		x := r.place(c.x, c.n, c.d)
		dst := x
		if !c.inPlace {
			dst = r.fresh(c.n, c.d)
		}
		op(r, dst.RowRange(lo, hi), x.RowRange(lo, hi), lo, hi)
		return r.take(dst, lo, hi)
	}

	poison := func(i int) { spoil(c.x, i, c.d) }
	inputs := []input{{"x", c.x, false}, {"gain", c.gain, false}, {"bias", c.bias, false},
		{"scale", c.scale.values(), false}, {"shift", c.shift.values(), false}}
	return &trial{rows: c.n, cols: c.d, run: run, want: want, poison: poison, inputs: inputs}
}

// drawLayerNorm draws a layer norm with and without learned parameters and modulation, in every
// combination that models have: a shift needs a scale, and may be left out.
func drawLayerNorm(t *rapid.T) *trial {
	c, r := drawNorm(t, drawSize(t, "width", 300))
	if rapid.Bool().Draw(t, "affine") {
		c.bias = r.normal(c.d, 1)
	} else {
		c.gain = nil
	}

	c.scale = drawGate(t, r, "scale", c.n, c.d)
	if c.scale != nil {
		c.shift = drawGate(t, r, "shift", c.n, c.d)
	}

	tr := c.trial(c.wantLayer(), func(r *rig, dst, x compute.Mat, lo, hi int) {
		r.dev.LayerNorm(dst, x, compute.Norm{
			Eps: c.eps, Gain: r.vector(c.gain), Bias: r.vector(c.bias),
			Scale: c.scale.on(r, lo, hi), Shift: c.shift.on(r, lo, hi),
		})
	})
	tr.tol = c.tolLayer()
	return tr
}

// moments returns the mean of row i and its biased variance, in two passes: the reference must not
// suffer from the cancellation that it is to find.
func (c *normCase) moments(i int) (mean, variance float64) {
	row := c.x[i*c.d : (i+1)*c.d]
	for _, v := range row {
		mean += float64(v) / float64(c.d)
	}
	for _, v := range row {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(c.d)
	}
	return mean, variance
}

// tolLayer is what a mean costs that is a float32: a unit in the last place of the row's largest
// element, which is much where all elements are nearly the same.
func (c *normCase) tolLayer() float64 {
	worst, gain, scale := 0.0, 1.0, 1.0
	for i := range c.n {
		_, variance := c.moments(i)
		for _, v := range c.x[i*c.d : (i+1)*c.d] {
			worst = max(worst, math.Abs(float64(v))/math.Sqrt(variance+float64(c.eps)))
		}
	}

	// The factors after the subtraction magnify the error.
	for _, v := range c.gain {
		gain = max(gain, math.Abs(float64(v)))
	}
	if c.scale != nil {
		for _, v := range c.scale.v {
			scale = max(scale, math.Abs(1+float64(v)))
		}
	}
	return worst * gain * scale * 0x1p-23
}

// wantLayer is the reference's layer norm.
func (c *normCase) wantLayer() []float64 {
	out := make([]float64, c.n*c.d)
	for i := range c.n {
		mean, variance := c.moments(i)
		for j, v := range c.x[i*c.d : (i+1)*c.d] {
			y := (float64(v) - mean) / math.Sqrt(variance+float64(c.eps))
			if c.gain != nil {
				y = y*float64(c.gain[j]) + float64(c.bias[j])
			}
			if c.scale != nil {
				y = y*(1+c.scale.at(i, j, 0)) + c.shift.at(i, j, 0)
			}
			out[i*c.d+j] = y
		}
	}
	return out
}

// headDims are those of models, and some that fill no vector.
var headDims = []int{2, 12, 16, 20, 24, 32, 64, 128}

// drawRMSNorm draws an RMS norm over heads, with and without rotation. The norm is over the whole
// row and the rotation within each head, in pairs of neighbouring elements.
func drawRMSNorm(t *rapid.T) *trial {
	hd := rapid.SampledFrom(headDims).Draw(t, "head dim")
	c, r := drawNorm(t, hd*rapid.IntRange(1, 4).Draw(t, "heads"))
	if rapid.Bool().Draw(t, "rope") {
		c.hd = hd
		for range c.n * hd / 2 {
			s, cos := math.Sincos(r.NormFloat64() * 10)
			c.cos, c.sin = append(c.cos, float32(cos)), append(c.sin, float32(s))
		}
	}

	return c.trial(c.wantRMS(), func(r *rig, dst, x compute.Mat, lo, hi int) {
		var rope *compute.Rope
		if c.hd > 0 {
			rope = &compute.Rope{
				HeadDim: c.hd,
				Cos:     r.place(c.cos, c.n, c.hd/2).RowRange(lo, hi),
				Sin:     r.place(c.sin, c.n, c.hd/2).RowRange(lo, hi),
			}
		}
		r.dev.RMSNorm(dst, x, r.vector(c.gain), c.eps, rope)
	})
}

// squares returns the sum of the squares of row i. The sum is of the float32 values as they are, in
// float64.
func (c *normCase) squares(i int) float64 {
	s := 0.0
	for _, v := range c.x[i*c.d : (i+1)*c.d] {
		s += float64(v) * float64(v)
	}
	return s
}

// wantRMS is the reference's RMS norm, then its rotation of pair p of the row.
func (c *normCase) wantRMS() []float64 {
	out := make([]float64, c.n*c.d)
	for i := range c.n {
		s := 1 / math.Sqrt(c.squares(i)/float64(c.d)+float64(c.eps))
		y := out[i*c.d : (i+1)*c.d]
		for j := range y {
			y[j] = float64(c.x[i*c.d+j]) * s * float64(c.gain[j])
		}
		for p := 0; c.hd > 0 && p < c.d/2; p++ {
			at := i*c.hd/2 + p%(c.hd/2)
			cos, sin := float64(c.cos[at]), float64(c.sin[at])
			y[2*p], y[2*p+1] = y[2*p]*cos-y[2*p+1]*sin, y[2*p]*sin+y[2*p+1]*cos
		}
	}
	return out
}

// drawChannelNorm draws the norm of Wan's VAE with any activation. Its rows are voxels, and the
// activation that follows it in the VAE is fused with it.
func drawChannelNorm(t *rapid.T) *trial {
	c, _ := drawNorm(t, drawSize(t, "width", 300))
	c.act = compute.Activation(rapid.IntRange(0, int(compute.GELU)).Draw(t, "act"))
	return c.trial(c.wantChannel(), func(r *rig, dst, x compute.Mat, _, _ int) {
		r.dev.ChannelNorm(dst, x, r.vector(c.gain), c.act)
	})
}

// wantChannel is the reference's channel norm. It divides by the length, not by the root mean
// square, and has a least length in place of eps, as in Wan's published code.
func (c *normCase) wantChannel() []float64 {
	out := make([]float64, c.n*c.d)
	for i := range out {
		s := math.Sqrt(float64(c.d)) / max(math.Sqrt(c.squares(i/c.d)), 1e-12)
		out[i] = reference(float64(c.x[i])*s*float64(c.gain[i%c.d]), c.act)
	}
	return out
}
