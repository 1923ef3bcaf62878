package cpu

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
)

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
	d.pool.eachRow(in.rows, in.cols, func(w *worker, i int) {
		src, f := in.row(i), &w.normalising
		f.gain, f.bias, f.scale, f.shift = gain, bias, scale.rowOrNil(i), shift.rowOrNil(i)
		f.mean = d.kern.sum(src) / n
		f.inverse = 1 / math.Sqrt(d.kern.squares(src, f.mean)/n+float64(p.Eps))
		d.kern.normalise(out.row(i), src, f)
	})
}

// rowOrNil is row, or nil when the vectors are not set.
func (r *rowVec) rowOrNil(i int) []float32 {
	if r == nil {
		return nil
	}
	return r.row(i)
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
	d.pool.eachRow(in.rows, in.cols, func(w *worker, i int) {
		src, to := in.row(i), out.row(i)
		inverse := 1 / math.Sqrt(d.kern.squares(src, 0)/n+float64(eps))
		w.normalising = normalising{inverse: inverse, gain: g}
		d.kern.normalise(to, src, &w.normalising)
		if turn != nil {
			d.kern.rotate(to, turn.cos.row(i), turn.sin.row(i))
		}
	})
}

// rotation is a checked compute.Rope.
type rotation struct{ cos, sin view }

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
		cos: sized(op, "rope cos", r.Cos, x.Rows, half),
		sin: sized(op, "rope sin", r.Sin, x.Rows, half),
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
	d.pool.eachRow(in.rows, in.cols, func(w *worker, i int) {
		src, to := in.row(i), out.row(i)
		inverse := root / max(math.Sqrt(d.kern.squares(src, 0)), 1e-12)
		w.normalising = normalising{inverse: inverse, gain: g}
		d.kern.normalise(to, src, &w.normalising)
		if act != compute.Identity {
			w.finishing = finishing{act: act}
			d.kern.finish(to, to, &w.finishing)
		}
	})
}
