package cpu

import (
	"math"

	"github.com/longtake/longtake/internal/compute"
)

// Constants of exp: x = n·ln 2 + r (Cody and Waite, 1980), and a polynomial for e^r on
// |r| <= ln2/2 that was fitted for least maximal relative error, 0.05 ulp before rounding.
const (
	log2e    = 1.44269504
	ln2Hi    = 0.693359375    // 9 bits, so n·ln2Hi is exact
	ln2Lo    = -2.12194440e-4 // ln 2 - ln2Hi
	expMagic = 12582912       // 1.5·2²³: adding it rounds to an integer
	expBase  = 0x4B400000     // bits of expMagic
	exp6     = 0.0013814602280035615
	exp5     = 0.008368715643882751
	exp4     = 0.04166838899254799
	exp3     = 0.1666652113199234
	exp2     = 0.4999999403953552
	expLeast = -87 // between these e^x and 2^n are normal numbers
	expMost  = 88
)

// expAll computes p = e^(p-base) to within 2 ulp over the whole range, subnormal results included.
func expAll(p []float32, base float32) {
	for j, x := range p {
		x -= base
		if !(x >= expLeast && x <= expMost) {
			p[j] = expEdge(x)
			continue
		}
		z := float32(x*log2e) + expMagic
		n := z - expMagic
		r := float32(x-float32(n*ln2Hi)) - float32(n*ln2Lo)
		p[j] = expNear(r) * math.Float32frombits((math.Float32bits(z)-expBase+127)<<23)
	}
}

// expNear returns e^r for |r| <= ln2/2.
func expNear(r float32) float32 {
	y := float32(exp6*r) + exp5
	y = float32(y*r) + exp4
	y = float32(y*r) + exp3
	y = float32(y*r) + exp2
	return float32(float32(float32(r*r)*y)+r) + 1
}

// expEdge is e^x where 2^n or the result is not a normal number: it scales in two steps.
func expEdge(x float32) float32 {
	switch {
	case x > 88.72284:
		return float32(math.Inf(1))
	case x < -103.9721:
		return 0
	case x != x:
		return x
	}
	n := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := float32(x-float32(n*ln2Hi)) - float32(n*ln2Lo)

	// 2^n itself may not be a normal number; the product of its two halves rounds once, at the end.
	half := int32(n) / 2
	y := expNear(r) * math.Float32frombits(uint32(half+127)<<23)
	return y * math.Float32frombits(uint32(int32(n)-half+127)<<23)
}

// exp is expAll for one number.
func exp(x float32) float32 {
	one := [1]float32{x}
	expAll(one[:], 0)
	return one[0]
}

// lane is how many elements an activation takes at once, on the stack.
const lane = 64

// sigmoidRow computes dst = x·sigmoid(-z) and overwrites z.
func sigmoidRow(dst, x, z []float32) {
	x, z = x[:len(dst)], z[:len(dst)]
	expAll(z, 0)
	for j, v := range x {
		dst[j] = v / (1 + z[j])
	}
}

// silu computes dst = x·sigmoid(x) for at most lane elements.
func silu(dst, x []float32) {
	var z [lane]float32
	for j, v := range x {
		z[j] = -v
	}
	sigmoidRow(dst, x, z[:])
}

// geluTanh computes 0.5x(1+tanh(u)) with u = sqrt(2/pi)(x+0.044715x³) for at most lane elements,
// written as x·sigmoid(2u), which cancels nowhere.
func geluTanh(dst, x []float32) {
	const twice = 1.5957691216057308 // 2·sqrt(2/pi)
	var z [lane]float32
	for j, v := range x {
		cube := float32(float32(v*v) * v)
		z[j] = -twice * (v + float32(0.044715*cube))
	}
	sigmoidRow(dst, x, z[:])
}

// tailTerms are the coefficients of a polynomial P in t = 1/(1+z/2), from t⁹ down, for the tail of
// the normal distribution: erfc(z) = t·P(t)·exp(-z²), to within 3e-7 of it for z >= 0. They were
// fitted at Chebyshev's points.
var tailTerms = [10]float32{-0.018740158528089523, 0.03467189893126488, 0.08509963750839233,
	-0.25181689858436584, 0.10976254194974899, 0.048196855932474136, 0.18228067457675934,
	0.24634039402008057, 0.2821102440357208, 0.28209471702575684}

// gelu computes x·Φ(x) for at most lane elements. Φ is a tail or what a tail leaves, so that it
// cancels nowhere. Image encoders alone need it, which run once for a clip: no set of kernels has
// it in assembly.
func gelu(dst, x []float32) {
	const perX = 0.35355339059327373 // z/2 for |x|: z = |x|/√2
	var e [lane]float32
	for j, v := range x {
		e[j] = -0.5 * float32(v*v)
	}
	expAll(e[:len(x)], 0)

	for j, v := range x {
		t := 1 / (1 + float32(perX*max(v, -v)))
		p := tailTerms[0]
		for _, c := range tailTerms[1:] {
			p = float32(p*t) + c
		}
		phi := float32(float32(0.5*t)*p) * e[j]
		if !(v < 0) {
			phi = 1 - phi
		}
		dst[j] = v * phi
	}
}

// activate computes dst = act(x) for at most lane elements; dst may be x.
func activate(dst, x []float32, act compute.Activation) {
	switch act {
	case compute.SiLU:
		silu(dst, x)
	case compute.GELUTanh:
		geluTanh(dst, x)
	case compute.GELU:
		gelu(dst, x)
	default:
		copy(dst, x)
	}
}
