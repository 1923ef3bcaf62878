//go:build cuda

package cuda

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/compute"
)

// tile is the rows and columns of a block of linear_v1 and conv_v1.
const tile = 64

// indexBuffer holds the vectors' numbers of a RowVec on the GPU.
type indexBuffer struct {
	data *memory
	last []int32 // what is there
}

// rowVec is a RowVec on the GPU: begin, distance of vectors, numbers. 0 is a nil one.
type rowVec struct{ at, stride, index value }

// rowVecOf checks r for rows x cols and brings its numbers to buffer i of the device.
func (d *Device) rowVecOf(op, name string, r *compute.RowVec, rows, cols, i int) rowVec {
	if r == nil {
		return rowVec{}
	}
	m := sized(op, name, r.M, r.M.Rows, cols)
	if m.rows < 1 || r.Index != nil && len(r.Index) != rows {
		panic(fmt.Sprintf("cuda: %s: %s has %d vectors and %d indices for %d rows",
			op, name, m.rows, len(r.Index), rows))
	}
	for j, g := range r.Index {
		if g < 0 || int(g) >= m.rows {
			panic(fmt.Sprintf("cuda: %s: %s: row %d wants vector %d of %d", op, name, j, g, m.rows))
		}
	}
	v := rowVec{at: ptr(m), stride: num(m.stride)}
	if len(r.Index) > 0 {
		v.index = d.numbers(&d.index[i], r.Index)
	}
	return v
}

// numbers brings an index to the GPU, unless it is there.
func (d *Device) numbers(b *indexBuffer, index []int32) value {
	m := d.grow(&b.data, 4*len(index))
	if m == nil {
		return 0
	}
	if !slices.Equal(b.last, index) {
		b.last = append(b.last[:0], index...)
		d.up(block{at: m.at, rows: 1, width: int64(4 * len(index))}, bytesOf(index))
	}
	return arg(m.at)
}

// Linear computes dst = ep(x·Wᵀ + b); see compute.Device.
func (d *Device) Linear(dst, x compute.Mat, w compute.Linear, ep compute.Epilogue) {
	const op = "Linear"
	l, ok := w.(*linear)
	if !ok {
		panic(fmt.Sprintf("cuda: Linear: weight is a %T, not of the cuda device", w))
	}
	n, k := l.Dims()
	in, out := sized(op, "x", x, x.Rows, k), sized(op, "dst", dst, x.Rows, n)
	apart(op, "dst", "x", dst, x)
	checkActivation(op, ep.Act)
	mul, res := optional(op, "Mul", ep.Mul, out), optional(op, "Residual", ep.Residual, out)
	d.enter(op)
	defer d.leave()
	gate := d.rowVecOf(op, "Gate", ep.Gate, out.rows, out.cols, 0)
	end := epilogue{ptr(out), num(out.stride), l.bias(), num(int(ep.Act)), ptr(mul), num(mul.stride),
		gate.at, gate.stride, gate.index, ptr(res), num(res.stride)}
	by := d.linearOf(k, l.whole.out, l.whole.dtype)
	switch by.kernel {
	case linearV3:
		d.linearPanels(l, in, out, end)
	case linearV2:
		d.linearRows(l, in, out, end)
	default:
		d.launch(by.kernel, ceil(out.rows, by.rows), ceil(n, by.cols), append([]value{ptr(in),
			num(in.stride), l.weight(), num(in.rows), num(k), num(n)}, end[:]...)...)
	}
}

// epilogue is the parameters of what kernels of linear layers do with their sums, from dst on.
type epilogue [11]value

// warps is the rows of a block of the norms.
const warps = 4

// inOut checks the matrices of an operation from x to dst.
func inOut(op string, dst, x compute.Mat) (out, in view) {
	return sized(op, "dst", dst, x.Rows, x.Cols), viewOf(op, "x", x)
}

// LayerNorm normalises every row over its width; see compute.Norm.
func (d *Device) LayerNorm(dst, x compute.Mat, p compute.Norm) {
	const op = "LayerNorm"
	out, in := inOut(op, dst, x)
	gain, bias := vectorOf(op, "Gain", p.Gain, x.Cols), vectorOf(op, "Bias", p.Bias, x.Cols)
	if gain == 0 && bias != 0 || p.Scale == nil && p.Shift != nil {
		panic("cuda: LayerNorm: Bias without Gain, or Shift without Scale")
	}
	d.enter(op)
	defer d.leave()
	scale := d.rowVecOf(op, "Scale", p.Scale, x.Rows, x.Cols, 0)
	shift := d.rowVecOf(op, "Shift", p.Shift, x.Rows, x.Cols, 1)
	d.launch(layerNorm, ceil(in.rows, warps), 1, ptr(out), num(out.stride), ptr(in), num(in.stride),
		num(in.rows), num(in.cols), float(p.Eps), gain, bias, scale.at, scale.stride, scale.index,
		shift.at, shift.stride, shift.index)
}

// RMSNorm scales rows by their root mean square and the gain, then rotates pairs; see
// compute.Device.
func (d *Device) RMSNorm(dst, x compute.Mat, gain compute.Vector, eps float32, r *compute.Rope) {
	const op = "RMSNorm"
	out, in := inOut(op, dst, x)
	g := vectorOf(op, "gain", gain, x.Cols)
	var cos, sin view
	half := 0
	if r != nil {
		if half = r.HeadDim / 2; half < 1 || r.HeadDim%2 != 0 || x.Cols%r.HeadDim != 0 {
			panic(fmt.Sprintf("cuda: RMSNorm: rope's head dim %d does not divide width %d into pairs",
				r.HeadDim, x.Cols))
		}
		cos, sin = sized(op, "rope cos", r.Cos, x.Rows, half), sized(op, "rope sin", r.Sin, x.Rows, half)
	}
	d.enter(op)
	defer d.leave()
	d.launch(rmsNormRope, ceil(in.rows, warps), 1, ptr(out), num(out.stride), ptr(in), num(in.stride),
		num(in.rows), num(in.cols), float(eps), g, num(half), ptr(cos), num(cos.stride), ptr(sin),
		num(sin.stride))
}

// ChannelNorm computes x / max(|x|, 1e-12) * sqrt(C) * gain, then act; see compute.Device.
func (d *Device) ChannelNorm(dst, x compute.Mat, gain compute.Vector, act compute.Activation) {
	const op = "ChannelNorm"
	out, in := inOut(op, dst, x)
	g := vectorOf(op, "gain", gain, x.Cols)
	checkActivation(op, act)
	d.enter(op)
	defer d.leave()
	d.launch(channelNorm, ceil(in.rows, warps), 1, ptr(out), num(out.stride), ptr(in),
		num(in.stride), num(in.rows), num(in.cols), g, num(int(act)))
}

// Attention computes softmax(scale·q·kᵀ + bias)·v head by head; see compute.Device.
func (d *Device) Attention(dst, q, k, v compute.Mat, a compute.AttentionArgs) {
	const op = "Attention"
	if a.Heads < 1 || q.Cols%a.Heads != 0 || q.Cols == 0 || k.Rows < 1 || !(a.Scale > 0) {
		panic(fmt.Sprintf("cuda: %s: %d heads over width %d, %d keys, scale %g",
			op, a.Heads, q.Cols, k.Rows, a.Scale))
	}
	apart(op, "dst", "q", dst, q)
	apart(op, "dst", "k", dst, k)
	apart(op, "dst", "v", dst, v)
	in, out := viewOf(op, "q", q), sized(op, "dst", dst, q.Rows, q.Cols)
	keys, vals := sized(op, "k", k, k.Rows, q.Cols), sized(op, "v", v, k.Rows, q.Cols)
	var bias view
	if a.RelBias != nil {
		bias = sized(op, "RelBias", *a.RelBias, a.Heads, max(0, q.Rows+k.Rows-1))
	}
	hd := q.Cols / a.Heads
	d.enter(op)
	defer d.leave()
	by := d.attentionOf(hd, a.RelBias != nil, a.DType)
	switch by.kernel {
	case attentionV3Of64, attentionV3Of128:
		d.attendPanels(by, in, keys, vals, out, a)
	case attentionV2Of32, attentionV2Of64, attentionV2Of128:
		d.attendRows(by, in, keys, vals, out, bias, a)
	default:
		d.launch(by.kernel, ceil(in.rows, by.rows), a.Heads, ptr(out), num(out.stride),
			ptr(in), num(in.stride), ptr(keys), num(keys.stride), ptr(vals), num(vals.stride),
			num(in.rows), num(keys.rows), num(hd), float(a.Scale), float(a.LastKeyBias), ptr(bias),
			num(bias.stride))
	}
}

// Conv computes a causal 3D convolution; see compute.ConvArgs.
func (d *Device) Conv(dst, x compute.Volume, w compute.Conv, a compute.ConvArgs) {
	const op = "Conv"
	c, ok := w.(*convolution)
	if !ok {
		panic(fmt.Sprintf("cuda: Conv: weight is a %T, not of the cuda device", w))
	}
	s := c.shape
	in, prev, frames := frames(s, x, a)
	g := steps(s, x, a)
	t, h, ww := (frames+a.FrontPad-s.KT+g.time)/g.time, g.high, g.wide
	if dst.T != t || dst.H != h || dst.W != ww || t < 1 {
		panic(fmt.Sprintf("cuda: Conv: dst is %d x %d x %d, want %d x %d x %d",
			dst.T, dst.H, dst.W, t, h, ww))
	}
	out := sized(op, "dst", dst.Mat, t*h*ww, s.Out)
	apart(op, "dst", "x", dst.Mat, x.Mat)
	res := optional(op, "Residual", a.Residual, out)
	d.enter(op)
	defer d.leave()
	bias := value(0)
	if c.bias != nil {
		bias = arg(c.bias.at)
	}
	d.launch(conv, ceil(out.rows, tile), ceil(s.Out, tile), ptr(in), num(in.stride), ptr(prev),
		num(prev.stride), num(frames-x.T), num(frames), num(a.FrontPad), num(x.H), num(x.W),
		flag(a.Upsample), num(s.KT), num(s.KH), num(s.KW), num(s.In), arg(c.weight.at), num(out.rows),
		num(h), num(ww), num(g.time), num(g.space), num(g.padH), num(g.padW), num(s.Out), ptr(out),
		num(out.stride), bias, ptr(res), num(res.stride))
}

// stepping is how a convolution walks over its input: outputs so far apart, zeros above and on the
// left, and the size of an output frame.
type stepping struct{ time, space, padH, padW, high, wide int }

func steps(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) stepping {
	g := stepping{time: max(a.StrideT, 1), space: 1, padH: s.KH / 2, padW: s.KW / 2}
	high, wide := x.H, x.W
	if a.Downsample {
		return stepping{time: g.time, space: 2, high: high / 2, wide: wide / 2}
	}
	if a.Upsample {
		high, wide = 2*high, 2*wide
	}
	g.high, g.wide = high+s.KH/2*2-s.KH+1, wide+s.KW/2*2-s.KW+1
	return g
}

// frames checks the input of a convolution: x, the frames before it, and how many they are.
func frames(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) (in, prev view, n int) {
	if a.FrontPad < 0 || a.StrideT < 0 || x.H < 1 || x.W < 1 || a.Upsample && a.Downsample {
		panic(fmt.Sprintf("cuda: Conv: %+v, frames of %d x %d", a, x.H, x.W))
	}
	in, n = sized("Conv", "x", x.Mat, x.T*x.H*x.W, s.In), x.T
	if p := a.Prev; p != nil {
		if p.H != x.H || p.W != x.W {
			panic(fmt.Sprintf("cuda: Conv: Prev has frames of %d x %d, x of %d x %d",
				p.H, p.W, x.H, x.W))
		}
		prev, n = sized("Conv", "Prev", p.Mat, p.T*p.H*p.W, s.In), x.T+p.T
	}
	return in, prev, n
}

// Activate computes dst = act(x). dst may be x.
func (d *Device) Activate(dst, x compute.Mat, act compute.Activation) {
	checkActivation("Activate", act)
	out, in := inOut("Activate", dst, x)
	d.enter("Activate")
	defer d.leave()
	d.elements(activate, in, ptr(out), num(out.stride), ptr(in), num(in.stride), num(in.rows),
		num(in.cols), num(int(act)))
}

// AddVector computes dst[i,:] = x[i,:] + v. dst may be x.
func (d *Device) AddVector(dst, x compute.Mat, v compute.Vector) {
	out, in := inOut("AddVector", dst, x)
	row := vectorOf("AddVector", "v", v, x.Cols)
	if v == nil {
		panic("cuda: AddVector: v is nil")
	}
	d.enter("AddVector")
	defer d.leave()
	d.elements(addVector, in, ptr(out), num(out.stride), ptr(in), num(in.stride), num(in.rows),
		num(in.cols), row)
}

// Add computes dst = a + b element by element. dst may be a or b.
func (d *Device) Add(dst, a, b compute.Mat) {
	out, in := inOut("Add", dst, a)
	other := sized("Add", "b", b, a.Rows, a.Cols)
	d.enter("Add")
	defer d.leave()
	d.elements(add, in, ptr(out), num(out.stride), ptr(in), num(in.stride), ptr(other),
		num(other.stride), num(in.rows), num(in.cols))
}

// Copy copies src to dst, which must not overlap.
func (d *Device) Copy(dst, src compute.Mat) {
	apart("Copy", "dst", "src", dst, src)
	out, in := inOut("Copy", dst, src)
	d.enter("Copy")
	defer d.leave()
	d.elements(copyRows, in, ptr(out), num(out.stride), ptr(in), num(in.stride), num(in.rows),
		num(in.cols))
}
