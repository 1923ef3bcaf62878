package cpu

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
)

// sum adds x in float64, in four lanes that are added pairwise.
func sum(x []float32) float64 {
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

// sumSquares adds (x-mean)² in float64, in four lanes that are added pairwise.
func sumSquares(x []float32, mean float64) float64 {
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

// LayerNorm normalises every row over its width; see compute.Norm.
func (d *Device) LayerNorm(dst, x compute.Mat, p compute.Norm) {
	const op = "LayerNorm"
	in := viewOf(op, "x", x)
	out := sized(op, "dst", dst, x.Rows, x.Cols)
	gain := vectorOf(op, "Gain", p.Gain, x.Cols)
	bias := vectorOf(op, "Bias", p.Bias, x.Cols)
	scale := rowVecOf(op, "Scale", p.Scale, x.Rows, x.Cols)
	shift := rowVecOf(op, "Shift", p.Shift, x.Rows, x.Cols)
	if gain == nil && bias != nil || scale == nil && shift != nil {
		panic("cpu: LayerNorm: Bias without Gain, or Shift without Scale")
	}
	n := float64(x.Cols)
	d.pool.eachRow(in.rows, in.cols, func(i int) {
		src, to := in.row(i), out.row(i)
		mean := sum(src) / n
		inverse := 1 / math.Sqrt(sumSquares(src, mean)/n+float64(p.Eps))
		for j, v := range src {
			to[j] = float32((float64(v) - mean) * inverse)
		}
		if gain != nil {
			affine(to, gain, 0, bias)
		}
		if scale != nil {
			affine(to, scale.row(i), 1, shift.rowOrNil(i))
		}
	})
}

// rowOrNil is row, or nil when the vectors are not set.
func (r *rowVec) rowOrNil(i int) []float32 {
	if r == nil {
		return nil
	}
	return r.row(i)
}

// affine computes y = y*(base+gain) + bias; bias may be nil.
func affine(y, gain []float32, base float32, bias []float32) {
	gain = gain[:len(y)]
	if bias == nil {
		for j := range y {
			y[j] *= base + gain[j]
		}
		return
	}
	bias = bias[:len(y)]
	for j := range y {
		y[j] = float32(y[j]*(base+gain[j])) + bias[j]
	}
}

// RMSNorm scales rows by their root mean square and the gain, then rotates pairs; see
// compute.Device. A nil gain leaves the gain out.
func (d *Device) RMSNorm(dst, x compute.Mat, gain compute.Vector, eps float32, r *compute.Rope) {
	const op = "RMSNorm"
	in := viewOf(op, "x", x)
	out := sized(op, "dst", dst, x.Rows, x.Cols)
	g := vectorOf(op, "gain", gain, x.Cols)
	turn := newRotation(op, r, x)
	n := float64(x.Cols)
	d.pool.eachRow(in.rows, in.cols, func(i int) {
		src, to := in.row(i), out.row(i)
		inverse := float32(1 / math.Sqrt(sumSquares(src, 0)/n+float64(eps)))
		scaleRow(to, src, inverse, g)
		if turn != nil {
			turn.row(to, i)
		}
	})
}

// scaleRow computes y = x*s*gain; a nil gain is left out. y may be x.
func scaleRow(y, x []float32, s float32, gain []float32) {
	x = x[:len(y)]
	if gain == nil {
		for j, v := range x {
			y[j] = v * s
		}
		return
	}
	gain = gain[:len(y)]
	for j, v := range x {
		y[j] = float32(v*s) * gain[j]
	}
}

// rotation is a checked compute.Rope.
type rotation struct {
	half     int
	cos, sin view
}

func newRotation(op string, r *compute.Rope, x compute.Mat) *rotation {
	if r == nil {
		return nil
	}
	if r.HeadDim < 2 || r.HeadDim%2 != 0 || x.Cols%r.HeadDim != 0 {
		panic(fmt.Sprintf("cpu: %s: rope's head dim %d does not divide width %d into pairs",
			op, r.HeadDim, x.Cols))
	}
	half := r.HeadDim / 2
	return &rotation{
		half: half,
		cos:  sized(op, "rope cos", r.Cos, x.Rows, half),
		sin:  sized(op, "rope sin", r.Sin, x.Rows, half),
	}
}

// row rotates the pairs of row i in place.
func (r *rotation) row(y []float32, i int) {
	cos := r.cos.row(i)
	sin := r.sin.row(i)[:len(cos)]
	for ; len(y) >= 2*len(cos); y = y[2*len(cos):] {
		for j, c := range cos {
			s, a, b := sin[j], y[2*j], y[2*j+1]
			y[2*j] = float32(a*c) - float32(b*s)
			y[2*j+1] = float32(a*s) + float32(b*c)
		}
	}
}

// ChannelNorm computes x / max(|x|, 1e-12) * sqrt(C) * gain, then act; see compute.Device.
func (d *Device) ChannelNorm(dst, x compute.Mat, gain compute.Vector, act compute.Activation) {
	const op = "ChannelNorm"
	in := viewOf(op, "x", x)
	out := sized(op, "dst", dst, x.Rows, x.Cols)
	g := vectorOf(op, "gain", gain, x.Cols)
	checkActivation(op, act)
	root := math.Sqrt(float64(x.Cols))
	d.pool.eachRow(in.rows, in.cols, func(i int) {
		src, to := in.row(i), out.row(i)
		scaleRow(to, src, float32(root/max(math.Sqrt(sumSquares(src, 0)), 1e-12)), g)
		activate(to, to, act)
	})
}
