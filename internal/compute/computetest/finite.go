package computetest

import (
	"math"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// input is a matrix or vector that an operation is given. The fault is put into values before the
// inputs are uploaded again, so no device has to be told.
type input struct {
	name   string
	values []float32 // changed in place; nil or empty: not set
	hides  bool      // an infinity may be lost, as a logit of -Inf is in a softmax
}

// spoiled is a drawn operation whose inputs can be spoiled; run computes it with the inputs as they
// are.
type spoiled struct {
	inputs []input
	run    func(t fataler, dev compute.Device) []float32
}

// notFinite puts a value that is not finite into one element of one input of an operation. What a
// small change of that element changes must be NaN where the value is; an infinity must leave a
// mark somewhere. So neither maxima, nor clamps, nor exponentials, nor masks pass over a broken
// number.
func (s *suite) notFinite(t *testing.T) {
	dev := s.open(t, 2)

	for _, c := range []struct {
		name string
		draw func(*rapid.T) *spoiled
	}{
		{"Linear", ofTrial(drawLinear)},
		{"LayerNorm", ofTrial(drawLayerNorm)},
		{"RMSNorm", ofTrial(drawRMSNorm)},
		{"ChannelNorm", ofTrial(drawChannelNorm)},
		{"Activate", ofTrial(drawActivate)},
		{"AddVector", ofTrial(drawAddVector)},
		{"Add", ofTrial(drawAdd)},
		{"Attention", spoiledAttention},
		{"Conv", spoiledConv},
		{"AddMeans", spoiledBlocks(true)},
		{"AddRepeated", spoiledBlocks(false)},
	} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { spoilOne(t, dev, c.draw(t)) })
		})
	}
}

// notFiniteFP8 is notFinite for linear layers in FP8, whose numbers have no infinity: a value that
// is not finite spoils its row of x, or its output, and nothing else.
func (s *suite) notFiniteFP8(t *testing.T) {
	const n, in, out, row = 3, 40, 5, 1
	dev, r := s.open(t, 2), numbersFrom(1)
	c := &linearCase{n: n, in: in, out: out, x: r.normal(n*in, 1), w: r.normal(out*in, 1),
		dtype: compute.FP8}
	want := c.run(t, dev, 0, n)

	for name, values := range map[string][]float32{"x": c.x, "w": c.w} {
		at := row*in + 17
		old := values[at]
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			values[at] = float32(bad)
			for i, v := range c.run(t, dev, 0, n) {
				spoilt := name == "x" && i/out == row || name == "w" && i%out == row
				if spoilt && v == v || !spoilt && v != want[i] {
					t.Errorf("%s[%d] is %g: element %d is %g, before %g", name, at, bad, i, v,
						want[i])
				}
			}
		}
		values[at] = old
	}
}

// ofTrial makes a trial, all rows of it, one whose inputs can be spoiled. The range is always all
// rows: what a part does with a broken number is checked by rowwise.
func ofTrial(draw func(*rapid.T) *trial) func(*rapid.T) *spoiled {
	return func(t *rapid.T) *spoiled {
		c := draw(t)
		return &spoiled{c.inputs, func(t fataler, dev compute.Device) []float32 {
			return c.run(t, dev, 0, c.rows)
		}}
	}
}

// spoiledAttention draws attention. Keys and biases may hide an infinity: a logit of -Inf is a
// mask.
func spoiledAttention(t *rapid.T) *spoiled {
	c := drawAttentionCase(t)
	if rapid.Bool().Draw(t, "relative bias") {
		c.rel = drawNumbers(t).normal(c.heads*(c.nq+c.nk-1), 1)
	}
	return &spoiled{
		inputs: []input{{"q", c.q, false}, {"k", c.k, true}, {"v", c.v, false}, {"bias", c.rel, true}},
		run: func(t fataler, dev compute.Device) []float32 {
			return c.run(t, dev, 0, c.nq)
		},
	}
}

// spoiledConv draws a convolution.
func spoiledConv(t *rapid.T) *spoiled {
	c := drawConv(t)
	return &spoiled{
		inputs: []input{{"x", c.x, false}, {"weight", c.weight, false}, {"bias", c.bias, false},
			{"residual", c.residual, false}},
		run: c.run,
	}
}

// spoilOne draws an element and what is put there, and computes three times: as drawn, with the
// element moved a little, and with it spoiled. What the move changes depends on the element. If the
// move changes nothing, as for a key whose weight rounds to zero, the spoiled element need not show
// either.
func spoilOne(t *rapid.T, dev compute.Device, c *spoiled) {
	// Only what is there can be spoiled.
	var some []input
	for _, in := range c.inputs {
		if len(in.values) > 0 {
			some = append(some, in)
		}
	}
	in := rapid.SampledFrom(some).Draw(t, "input")

	at := rapid.IntRange(0, len(in.values)-1).Draw(t, "element")
	all := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	bad := float32(rapid.SampledFrom(all).Draw(t, "value"))

	whole, old := c.run(t, dev), in.values[at]
	in.values[at] = old + 1
	moved := c.run(t, dev)
	in.values[at] = bad
	got := c.run(t, dev)

	// NaN must show wherever the element matters, an infinity somewhere at least.
	reached, marked := false, false
	for i, v := range got {
		if finite(v) {
			if bad != bad && math.Float32bits(whole[i]) != math.Float32bits(moved[i]) {
				t.Fatalf("%s[%d] is NaN, element %d of the result is %g", in.name, at, i, v)
			}
		} else {
			marked = true
		}
		reached = reached || whole[i] != moved[i]
	}

	if reached && !marked && !in.hides {
		t.Fatalf("%s[%d] is %g, and the result is finite", in.name, at, bad)
	}
}

// finite reports whether x is neither NaN nor an infinity.
func finite(x float32) bool { return math.Abs(float64(x)) <= math.MaxFloat32 }

// hugeRows norms rows whose squares are beyond float32. A device may compute them or give NaN, but
// must not give numbers that are wrong. Activations of this size mean that a model has already
// failed; a plausible number would hide it.
func (s *suite) hugeRows(t *testing.T) {
	dev := s.open(t, 1)
	const d = 40
	x := numbersFrom(3).normal(d, 1e25)
	gain := make([]float32, d)
	for i := range gain {
		gain[i] = 1
	}

	for name, norm := range map[string]func(r *rig, dst, x compute.Mat){
		"LayerNorm": func(r *rig, dst, x compute.Mat) {
			r.dev.LayerNorm(dst, x, compute.Norm{Eps: 1e-6})
		},
		"RMSNorm": func(r *rig, dst, x compute.Mat) { r.dev.RMSNorm(dst, x, r.vector(gain), 1e-6, nil) },
		"ChannelNorm": func(r *rig, dst, x compute.Mat) {
			r.dev.ChannelNorm(dst, x, r.vector(gain), compute.Identity)
		},
	} {
		// Either a row of mean square 1, or NaN in it.
		r := placing{}.on(t, dev)
		dst := r.fresh(1, d)
		norm(r, dst, r.place(x, 1, d))
		sum := 0.0
		for _, v := range r.take(dst, 0, 1) {
			sum += float64(v) * float64(v) / d
		}
		if sum == sum && math.Abs(sum-1) > 0.1 {
			t.Errorf("%s of huge values has a mean square of %g", name, sum)
		}
	}
}
