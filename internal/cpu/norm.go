package cpu

import (
	"math"

	"github.com/longtake/longtake/internal/compute"
)

// LayerNorm normalises every row over its width; see compute.Norm.
func (d *Device) LayerNorm(dst, x compute.Mat, p compute.Norm) {
	const op = "LayerNorm"
	o := inOut(op, dst, x)
	o.gain = vectorOf(op, "Gain", p.Gain, x.Cols)
	o.bias = vectorOf(op, "Bias", p.Bias, x.Cols)
	o.scale = rowVecOf(op, "Scale", p.Scale, x.Rows, x.Cols)
	o.shift = rowVecOf(op, "Shift", p.Shift, x.Rows, x.Cols)
	if o.gain == nil && o.bias != nil || p.Scale == nil && p.Shift != nil {
		panic("cpu: LayerNorm: Bias without Gain, or Shift without Scale")
	}
	o.eps, o.row = float64(p.Eps), (*rowwise).layerNorm
	d.each(o)
}

// layerNorm computes row i in two passes: its moments in float64, then the normalised values.
func (o *rowwise) layerNorm(w *worker, i int) {
	x, n, f := o.in.row(i), float64(o.in.cols), &w.normalising
	f.gain, f.bias, f.scale, f.shift = o.gain, o.bias, o.scale.row(i), o.shift.row(i)
	f.mean = o.kern.sum(x) / n
	f.inverse = 1 / math.Sqrt(o.kern.squares(x, f.mean)/n+o.eps)
	o.checkFinite(f.inverse)
	o.kern.normalise(o.out.row(i), x, f)
}

// RMSNorm scales rows by their root mean square and the gain, then rotates pairs; see
// compute.Device. A nil gain leaves the gain out.
func (d *Device) RMSNorm(dst, x compute.Mat, gain compute.Vector, eps float32, r *compute.Rope) {
	const op = "RMSNorm"
	o := inOut(op, dst, x)
	o.gain = vectorOf(op, "gain", gain, x.Cols)
	o.rope = newRotation(op, r, x)
	o.eps, o.row = float64(eps), (*rowwise).rmsNorm
	d.each(o)
}

// rmsNorm computes row i. The mean square is a sum of float64, which no float32 overflows.
func (o *rowwise) rmsNorm(w *worker, i int) {
	x, y := o.in.row(i), o.out.row(i)
	inverse := 1 / math.Sqrt(o.kern.squares(x, 0)/float64(len(x))+o.eps)
	o.checkFinite(inverse)
	w.normalising = normalising{inverse: inverse, gain: o.gain}
	o.kern.normalise(y, x, &w.normalising)
	if o.rope.cos.cols > 0 {
		o.kern.rotate(y, o.rope.cos.row(i), o.rope.sin.row(i))
	}
}

// rotation is a checked compute.Rope; without columns it is not set.
type rotation struct{ cos, sin view }

// newRotation checks r for the rows of x; a nil r rotates nothing.
func newRotation(op string, r *compute.Rope, x compute.Mat) rotation {
	if r == nil {
		return rotation{}
	}
	check.Rope(op, r, x.Cols)
	half := r.HeadDim / 2
	return rotation{
		cos: sized(op, "rope cos", r.Cos, x.Rows, half),
		sin: sized(op, "rope sin", r.Sin, x.Rows, half),
	}
}

// ChannelNorm computes x / max(|x|, 1e-12) * sqrt(C) * gain, then act; see compute.Device.
func (d *Device) ChannelNorm(dst, x compute.Mat, gain compute.Vector, act compute.Activation) {
	const op = "ChannelNorm"
	o := inOut(op, dst, x)
	o.gain = vectorOf(op, "gain", gain, x.Cols)
	check.Activation(op, act)
	o.act, o.row = act, (*rowwise).channelNorm
	d.each(o)
}

// channelNorm computes row i: sqrt(C) / max(|x|, 1e-12) is one factor for all of it.
func (o *rowwise) channelNorm(w *worker, i int) {
	x, y := o.in.row(i), o.out.row(i)
	length := max(math.Sqrt(o.kern.squares(x, 0)), 1e-12)
	w.normalising = normalising{inverse: math.Sqrt(float64(len(x))) / length, gain: o.gain}
	o.kern.normalise(y, x, &w.normalising)
	if o.act != compute.Identity {
		w.finishing = finishing{act: o.act}
		o.kern.finish(y, y, 1, len(y), &w.finishing)
	}
}
