package computetest

import (
	"math"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// toleranceFP8 is that of sums of FP8's products, more than Run's tol: tensor cores keep 13 bits of
// a term behind the point of the largest (see kernels/emu), for 128 steps of k at a time. A device
// on the host has the sums of bfloat16, and no more tolerance than that.
const toleranceFP8 = 2e-3

// tolFP8 returns the tolerance of linear layers in FP8 on a device.
func (s *suite) tolFP8(dev compute.Device) float64 {
	if _, host := dev.(compute.HostMemory); host {
		return s.tol
	}
	return max(s.tol, toleranceFP8)
}

// drawLinearFP8 draws a linear layer in FP8 with any epilogue.
func drawLinearFP8(tol float64) func(t *rapid.T) *trial {
	return func(t *rapid.T) *trial {
		c := drawLinearIn(t, compute.FP8, 400)
		c.tol = tol
		return c
	}
}

// e4m3 are the numbers of E4M3 from 0 to 448 by their bits: a sign, four bits of an exponent with a
// bias of 7, three of a mantissa; an exponent of 0 is for subnormal numbers.
var e4m3 = func() (all []float64) {
	for bits := range 127 {
		m, e := float64(bits%8), bits/8
		if e == 0 {
			all = append(all, math.Ldexp(m, -9))
		} else {
			all = append(all, math.Ldexp(8+m, e-10))
		}
	}
	return all
}()

// toE4M3 returns the nearest number of E4M3, of two the one with even bits.
func toE4M3(x float32) float64 {
	v := math.Abs(float64(x))
	at, _ := slices.BinarySearch(e4m3, v)
	if at == len(e4m3) {
		at--
	}
	if at > 0 {
		below, above := v-e4m3[at-1], e4m3[at]-v
		if below < above || below == above && at%2 == 1 {
			at--
		}
	}
	return math.Copysign(e4m3[at], float64(x))
}

// quantised returns rows of x as products in FP8 see them, and their scales, as compute.Device's
// PackLinear says.
func quantised(x []float32, cols int) (q, scales []float64) {
	for ; len(x) > 0; x = x[cols:] {
		// The scale follows from the largest number, in float32 as the devices have it.
		most := float32(0)

		for _, v := range x[:cols] {
			most = max(most, float32(math.Abs(rounded(v, compute.BF16))))
		}
		factor := 448 / most
		if most < 0x1p-100 {
			factor, most = 0, 0
		}

		for _, v := range x[:cols] {
			q = append(q, toE4M3(float32(rounded(v, compute.BF16))*factor))
		}
		scales = append(scales, float64(most/448))
	}
	return q, scales
}

// wantFP8 is want in FP8.
func (c *linearCase) wantFP8() []float64 {
	out := make([]float64, 0, c.n*c.out)
	// What the devices multiply, exactly; sums have float64's error alone.
	x, xs := quantised(c.x, c.in)
	w, ws := quantised(c.w, c.in)
	for i := range c.n {
		for j := range c.out {
			y := 0.0
			for k := range c.in {
				y += x[i*c.in+k] * w[j*c.in+k]
			}
			out = append(out, c.finish(y*xs[i]*ws[j], i, j))
		}
	}
	return out
}
