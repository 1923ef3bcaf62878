package cpu

import (
	"math"
	"unsafe"
)

// generic is the set in plain Go: the twin that the sets in assembly are held to, and what other
// architectures run. It never fuses a multiplication with an addition, so its bits are the same
// everywhere.
var generic = kernels{
	name: "generic", mr: 4, nr: 2, half: 2, rowsMost: 32, depth: 512,
	gemm: gemmGeneric, transpose: transposeGeneric, finish: finishGeneric,
	softmax: softmaxGeneric, blend: blendGeneric, divide: divideGeneric,
	sum: sumGeneric, squares: squaresGeneric, normalise: normaliseGeneric, rotate: rotateGeneric,
	bf16: bf16Kernels{per: 1, gemm: gemmGeneric, softmax: softmaxRoundedGeneric,
		narrow: narrowGeneric},
	widen: widenGeneric,
}

// gemmGeneric computes 4 x 2 sums at a time: eight independent ones hide an addition's latency.
func gemmGeneric(c []float32, ld, rows, _ int, at []*float32, runs, n int, b []float32, _ prefetch,
	add bool) {
	for ; rows > 0; rows -= 4 {
		var s [4][2]float32
		if add {
			for i := range s {
				s[i] = [2]float32(c[i*ld:])
			}
		}

		for run := range runs {
			r0, r1 := unsafe.Slice(at[0], n), unsafe.Slice(at[1], n)
			r2, r3 := unsafe.Slice(at[2], n), unsafe.Slice(at[3], n)
			run4x2(&s, r0, r1, r2, r3, unsafe.Slice((*[2]float32)(b[2*n*run:]), n))
			at = at[4:]
		}

		for i := range s {
			copy(c[i*ld:i*ld+2], s[i][:])
		}
		c = c[min(4*ld, len(c)):]
	}
}

// run4x2 adds the products of one run of k. The sums are variables, so that they stay in registers;
// each product is rounded by itself, or Go would be free to fuse it with the addition.
func run4x2(s *[4][2]float32, r0, r1, r2, r3 []float32, b [][2]float32) {
	c00, c01, c10, c11 := s[0][0], s[0][1], s[1][0], s[1][1]
	c20, c21, c30, c31 := s[2][0], s[2][1], s[3][0], s[3][1]
	r0, r1, r2, r3 = r0[:len(b)], r1[:len(b)], r2[:len(b)], r3[:len(b)]
	for k := range b {
		y0, y1 := b[k][0], b[k][1]
		c00, c01 = c00+float32(r0[k]*y0), c01+float32(r0[k]*y1)
		c10, c11 = c10+float32(r1[k]*y0), c11+float32(r1[k]*y1)
		c20, c21 = c20+float32(r2[k]*y0), c21+float32(r2[k]*y1)
		c30, c31 = c30+float32(r3[k]*y0), c31+float32(r3[k]*y1)
	}
	*s = [4][2]float32{{c00, c01}, {c10, c11}, {c20, c21}, {c30, c31}}
}

// transposeGeneric is kernels.transpose.
func transposeGeneric(dst []float32, stride int, rows []*float32, n int) {
	for i, r := range rows {
		for k, x := range unsafe.Slice(r, n) {
			dst[k*stride+i] = x
		}
	}
}

// finishGeneric is kernels.finish, a row at a time.
func finishGeneric(dst, y []float32, rows, n int, f *finishing) {
	for i := range rows {
		one := finishing{act: f.act, bias: f.bias, mul: rowOf(f.mul, i*f.mulStep, n),
			gate: rowOf(f.gate, i*f.gateStep, n), residual: rowOf(f.residual, i*f.residStep, n)}
		finishRow(rowOf(dst, i*f.dstStep, n), rowOf(y, i*f.yStep, n), &one)
	}
}

// rowOf returns n elements from at on, nil for a nil slice.
func rowOf(v []float32, at, n int) []float32 {
	if v == nil {
		return nil
	}
	return v[at : at+n]
}

// finishRow works on pieces that it holds on the stack: dst may be any of its inputs.
func finishRow(dst, y []float32, f *finishing) {
	var piece [lane]float32
	for at := 0; at < len(dst); at += lane {
		end := min(at+lane, len(dst))
		v := piece[:copy(piece[:], y[at:end])]

		if f.bias != nil {
			addTo(v, f.bias[at:end])
		}
		activate(v, v, f.act)
		if f.mul != nil {
			scaleBy(v, f.mul[at:end])
		}
		if f.gate != nil {
			scaleBy(v, f.gate[at:end])
		}
		if f.residual != nil {
			addTo(v, f.residual[at:end])
		}

		copy(dst[at:end], v)
	}
}

// addTo computes y += v.
func addTo(y, v []float32) {
	v = v[:len(y)]
	for j := range y {
		y[j] += v[j]
	}
}

// scaleBy computes y *= v.
func scaleBy(y, v []float32) {
	v = v[:len(y)]
	for j := range y {
		y[j] *= v[j]
	}
}

// softmaxGeneric is kernels.softmax for the two queries that are the columns of p.
func softmaxGeneric(p []float32, n int, scale float32, bias []float32, at int, s *running) {
	var column [keyTile]float32
	for i := range 2 {
		x, most := column[:n], s.most[i]
		for j := range x {
			x[j] = p[2*j+i] * scale
			if bias != nil {
				x[j] += bias[at-j+i]
			}
			if x[j] > most { // a NaN passes and spoils the sum, as it should
				most = x[j]
			}
		}

		// Where every key is masked, probabilities must be 0, not exp(-Inf+Inf).
		base := max(most, -math.MaxFloat32)
		s.shrink[i] = exp(s.most[i] - base)
		s.most[i] = most

		expAll(x, base)
		sum := float32(0)
		for j, y := range x {
			p[2*j+i] = y
			sum += y
		}
		s.sums[i] = float32(s.sums[i]*s.shrink[i]) + sum
	}
}

// softmaxRoundedGeneric is softmaxGeneric with probabilities rounded to bfloat16.
func softmaxRoundedGeneric(p []float32, n int, scale float32, bias []float32, at int, s *running) {
	softmaxGeneric(p, n, scale, bias, at, s)
	narrowGeneric(p, p[:2*n])
}

// blendGeneric adds a tile's sum as a whole: that keeps long sums exact.
func blendGeneric(out, tile []float32, s *running) {
	for i, t := range tile[:len(out)] {
		out[i] = float32(out[i]*s.shrink[i%2]) + t
	}
}

// divideGeneric is kernels.divide.
func divideGeneric(out []float32, s *running) {
	for i := range out {
		out[i] /= s.sums[i%2]
	}
}

// sumGeneric adds x in float64, in four lanes that are added pairwise.
func sumGeneric(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return (s0 + s1) + (s2 + s3)
}

// squaresGeneric adds (x-mean)² in float64, in four lanes that are added pairwise.
func squaresGeneric(x []float32, mean float64) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		d0, d1 := float64(x[0])-mean, float64(x[1])-mean
		d2, d3 := float64(x[2])-mean, float64(x[3])-mean
		s0, s1 = s0+float64(d0*d0), s1+float64(d1*d1)
		s2, s3 = s2+float64(d2*d2), s3+float64(d3*d3)
	}
	for _, v := range x {
		d := float64(v) - mean
		s0 += float64(d * d)
	}
	return (s0 + s1) + (s2 + s3)
}

// normaliseGeneric is kernels.normalise; the subtraction of the mean is in float64.
func normaliseGeneric(dst, x []float32, f *normalising) {
	x = x[:len(dst)]
	for j, v := range x {
		dst[j] = float32((float64(v) - f.mean) * f.inverse)
	}
	affine(dst, f.gain, 0, f.bias)
	affine(dst, f.scale, 1, f.shift)
}

// affine computes y = y*(base+gain) + bias; nil slices are left out.
func affine(y, gain []float32, base float32, bias []float32) {
	if gain == nil {
		return
	}
	gain = gain[:len(y)]
	for j := range y {
		y[j] *= base + gain[j]
	}
	if bias == nil {
		return
	}
	bias = bias[:len(y)]
	for j := range y {
		y[j] += bias[j]
	}
}

// rotateGeneric is kernels.rotate: head after head, pair after pair.
func rotateGeneric(y, cos, sin []float32) {
	sin = sin[:len(cos)]
	for ; len(y) >= 2*len(cos); y = y[2*len(cos):] {
		for j, c := range cos {
			s, a, b := sin[j], y[2*j], y[2*j+1]
			y[2*j] = float32(a*c) - float32(b*s)
			y[2*j+1] = float32(a*s) + float32(b*c)
		}
	}
}

// narrowGeneric rounds x to bfloat16, ties to even; NaN stays NaN.
func narrowGeneric(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		bits := math.Float32bits(v)
		if v == v {
			bits += 0x7fff + bits>>16&1
		} else {
			bits |= 1 << 22
		}
		dst[i] = math.Float32frombits(bits &^ 0xffff)
	}
}

// widenGeneric turns bfloat16 in two bytes into float32.
func widenGeneric(dst []float32, x []uint16) {
	for i, v := range x[:len(dst)] {
		dst[i] = math.Float32frombits(uint32(v) << 16)
	}
}
