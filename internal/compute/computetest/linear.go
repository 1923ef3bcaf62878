package computetest

import (
	"math"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// linearCase is a drawn Linear with its epilogue; nil slices are left out. The epilogue is all that
// a device fuses with a product: bias, activation, factor, gate and residual, in this order.
type linearCase struct {
	placing
	n, in, out    int
	x, w, b       []float32 // [n, in], [out, in], [out]
	act           compute.Activation
	mul, residual []float32 // [n, out]
	inPlace       bool      // dst is the residual, or else mul
	gate          *gateCase
	dtype         compute.DType
}

// gateCase is a drawn RowVec: groups of vectors, and which one each row has. A nil one is left out.
// Groups stand for timesteps, which may differ between the tokens of a call: each row takes the
// modulation of its own.
type gateCase struct {
	groups, cols int
	v            []float32 // [groups, cols]
	index        []int32   // [rows], nil: all have the first
}

// drawGate draws a RowVec for rows of so many columns, or none.
func drawGate(t *rapid.T, r numbers, name string, rows, cols int) *gateCase {
	kind := rapid.SampledFrom([]string{"none", "one", "indexed"}).Draw(t, name)
	if kind == "none" {
		return nil
	}

	g := &gateCase{groups: 1, cols: cols}
	if kind == "indexed" {
		g.groups = rapid.IntRange(1, 4).Draw(t, name+" groups")
		for range rows {
			g.index = append(g.index, int32(r.IntN(g.groups)))
		}
	}
	g.v = r.normal(g.groups*cols, 1)
	return g
}

// on places the vectors for rows [lo, hi): all groups, and the rows' part of the index.
func (g *gateCase) on(r *rig, lo, hi int) *compute.RowVec {
	if g == nil {
		return nil
	}
	v := &compute.RowVec{M: r.place(g.v, g.groups, g.cols)}
	if g.index != nil {
		v.Index = g.index[lo:hi]
	}
	return v
}

// values are the vectors' elements, for spoiling.
func (g *gateCase) values() []float32 {
	if g == nil {
		return nil
	}
	return g.v
}

// at is element j of row i's vector, or other when there is none: 1 for a factor, 0 for what is
// added.
func (g *gateCase) at(i, j int, other float64) float64 {
	if g == nil {
		return other
	}
	group := 0
	if g.index != nil {
		group = int(g.index[i])
	}
	return float64(g.v[group*g.cols+j])
}

// drawDepth draws the inputs of a layer up to most. Every other time they are a multiple of 8, as
// those of models are: devices have kernels for these alone.
func drawDepth(t *rapid.T, most int) int {
	if rapid.Bool().Draw(t, "in eights") {
		return 8 * drawSize(t, "in / 8", most/8)
	}
	return drawSize(t, "in", most)
}

// drawLinear draws a linear layer with any epilogue, in float32 or bfloat16.
func drawLinear(t *rapid.T) *trial { return drawLinearIn(t, drawDType(t), 1100) }

// drawLinearIn draws one of a type with up to so many inputs.
func drawLinearIn(t *rapid.T, dt compute.DType, inputs int) *trial {
	r := drawNumbers(t)
	c := &linearCase{
		placing: drawPlacing(t),
		n:       drawSize(t, "n", 70), in: drawDepth(t, inputs), out: drawSize(t, "out", 270),
		act:     compute.Activation(rapid.IntRange(0, int(compute.GELU)).Draw(t, "act")),
		inPlace: rapid.Bool().Draw(t, "in place"), dtype: dt,
	}
	c.x, c.w = r.normal(c.n*c.in, 1), r.normal(c.out*c.in, 1/math.Sqrt(float64(c.in)))

	// Any part of the epilogue may be left out.
	if rapid.Bool().Draw(t, "bias") {
		c.b = r.normal(c.out, 1)
	}
	if rapid.Bool().Draw(t, "mul") {
		c.mul = r.normal(c.n*c.out, 1)
	}
	c.gate = drawGate(t, r, "gate", c.n, c.out)
	if rapid.Bool().Draw(t, "residual") {
		c.residual = r.normal(c.n*c.out, 1)
	}

	return &trial{
		rows: c.n, cols: c.out, run: c.run, want: c.want(),
		poison: func(i int) { spoil(c.x, i, c.in) },
		inputs: []input{{"x", c.x, false}, {"w", c.w, false}, {"b", c.b, false}, {"mul", c.mul, false},
			{"residual", c.residual, false}, {"gate", c.gate.values(), false}},
	}
}

// run computes rows [lo, hi) on a device. The weight is packed again each time, which also tests
// that packing gives the same bits.
func (c *linearCase) run(t fataler, dev compute.Device, lo, hi int) []float32 {
	t.Helper()
	r := c.on(t, dev)
	w, err := dev.PackLinear(c.w, c.b, c.out, c.in, c.dtype)
	if err != nil {
		t.Fatalf("cannot pack: %v", err)
	}

	// The last operand that is set is dst itself where that is drawn.
	dst := r.fresh(c.n, c.out)
	operand := func(v []float32) *compute.Mat {
		m := r.place(v, c.n, c.out)
		if c.inPlace {
			dst = m
		}
		m = m.RowRange(lo, hi)
		return &m
	}

	ep := compute.Epilogue{Act: c.act, Gate: c.gate.on(r, lo, hi)}
	if c.mul != nil {
		ep.Mul = operand(c.mul)
	}
	if c.residual != nil {
		ep.Residual = operand(c.residual)
	}
	dev.Linear(dst.RowRange(lo, hi), r.place(c.x, c.n, c.in).RowRange(lo, hi), w, ep)
	return r.take(dst, lo, hi)
}

// want is the reference's result: operands as products of the type see them, sums in float64. The
// error of these sums is far below any tolerance of a float32 device.
func (c *linearCase) want() []float64 {
	if c.dtype == compute.FP8 {
		return c.wantFP8()
	}
	out := make([]float64, c.n*c.out)
	for i := range c.n {
		for j := range c.out {
			y := 0.0
			for k := range c.in {
				y += rounded(c.x[i*c.in+k], c.dtype) * rounded(c.w[j*c.in+k], c.dtype)
			}
			out[i*c.out+j] = c.finish(y, i, j)
		}
	}
	return out
}

// finish is the reference's epilogue of element (i, j).
func (c *linearCase) finish(y float64, i, j int) float64 {
	if c.b != nil {
		y += float64(c.b[j])
	}
	y = reference(y, c.act)
	if c.mul != nil {
		y *= float64(c.mul[i*c.out+j])
	}
	y *= c.gate.at(i, j, 1)
	if c.residual != nil {
		y += float64(c.residual[i*c.out+j])
	}
	return y
}

// reference is an activation in float64, as its definition says. The devices compute other forms of
// it, which cancel less; in float64 that does not matter.
func reference(x float64, act compute.Activation) float64 {
	switch act {
	case compute.GELUTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case compute.SiLU:
		return x / (1 + math.Exp(-x))
	case compute.GELU:
		return 0.5 * x * math.Erfc(-x/math.Sqrt2)
	}
	return x
}

// linearParts checks that a range of outputs alone has the same bits: ranks multiply with the part
// of a weight that belongs to their heads.
func (s *suite) linearParts(t *testing.T) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		r := drawNumbers(t)
		n, in := drawSize(t, "n", 40), drawDepth(t, 100)
		out := drawSize(t, "out", 150)
		dt := rapid.SampledFrom(compute.DTypesOf(devs[0])).Draw(t, "dtype")
		dev := rapid.SampledFrom(devs).Draw(t, "device")
		g := drawPlacing(t).on(t, dev)
		w, err := dev.PackLinear(r.normal(out*in, 1), r.normal(out, 1), out, in, dt)
		if err != nil {
			t.Fatalf("cannot pack: %v", err)
		}

		// The whole product first.
		x, whole := g.place(r.normal(n*in, 1), n, in), g.fresh(n, out)
		dev.Linear(whole, x, w, compute.Epilogue{Act: compute.SiLU})

		// Then a part of a part, which may begin within a tile.
		lo := rapid.IntRange(0, out-1).Draw(t, "lo")
		hi := rapid.IntRange(lo+1, out).Draw(t, "hi")
		part := w.Part(lo, hi)
		from := rapid.IntRange(0, hi-lo-1).Draw(t, "of it from")
		part = part.Part(from, hi-lo)
		lo += from
		if o, i := part.Dims(); o != hi-lo || i != in {
			t.Fatalf("a part of %d outputs says %d x %d", hi-lo, o, i)
		}

		alone, want := g.fresh(n, hi-lo), make([]float32, n*(hi-lo))
		dev.Linear(alone, x, part, compute.Epilogue{Act: compute.SiLU})
		g.download(want, whole.ColRange(lo, hi))
		same(t, g.take(alone, 0, n), want, "outputs [%d, %d) alone", lo, hi)
	})
}

// linearOfManyRows multiplies more rows than all blocks that work at the same time have, then some
// of them alone. A device that cuts its work by the number of rows must not let that change bits.
// Splitting k among blocks when there are few rows is the usual way to break this rule.
func (s *suite) linearOfManyRows(t *testing.T) {
	const n, in, out, few = 2600, 40, 300, 100
	r, dev := numbersFrom(1), s.open(t, 2)
	x := r.normal(n*in, 1)

	for _, dt := range compute.DTypesOf(dev) {
		w, err := dev.PackLinear(r.normal(out*in, 1), r.normal(out, 1), out, in, dt)
		if err != nil {
			t.Fatalf("cannot pack: %v", err)
		}
		multiply := func(lo, hi int) []float32 {
			g := placing{}.on(t, dev)
			y := g.fresh(hi-lo, out)
			dev.Linear(y, g.place(x[lo*in:hi*in], hi-lo, in), w, compute.Epilogue{})
			return g.take(y, 0, hi-lo)
		}

		all := multiply(0, n)
		for lo := 0; lo < n; lo += few {
			hi := min(lo+few, n)
			same(t, multiply(lo, hi), all[lo*out:hi*out], "%v: rows [%d, %d) alone", dt, lo, hi)
		}
	}
}
