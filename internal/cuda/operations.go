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

// rowVec is a RowVec as kernels take it: where it begins, elements between vectors, and where the
// rows' numbers are. Zeros are a nil RowVec.
type rowVec struct{ at, stride, index value }

// rowVecOf checks r for rows x cols and brings its numbers to buffer i of the device.
func (d *Device) rowVecOf(op, name string, r *compute.RowVec, rows, cols, i int) rowVec {
	if r == nil {
		return rowVec{}
	}
	check.RowVec(op, name, r, rows)
	m := sized(op, name, r.M, r.M.Rows, cols)
	v := rowVec{at: ptr(m), stride: num(m.stride)}
	if len(r.Index) > 0 {
		v.index = d.numbers(&d.index[i], r.Index)
	}
	return v
}

// numbers brings an index to the GPU, unless it is there: layers share theirs.
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
	in, out := either(op, "x", x, x.Rows, k), either(op, "dst", dst, x.Rows, n)
	check.Apart(op, "dst", "x", dst, x)
	check.Activation(op, ep.Act)
	mul, res := optional(op, "Mul", ep.Mul, out), optional(op, "Residual", ep.Residual, out)

	d.enter(op)
	defer d.leave()
	gate := d.rowVecOf(op, "Gate", ep.Gate, out.rows, out.cols, 0)
	end := epilogue{ptr(out), num(out.stride), l.bias(), num(int(ep.Act)), ptr(mul), num(mul.stride),
		gate.at, gate.stride, gate.index, ptr(res), num(res.stride), num(int(out.form))}
	if out.form != floats && ep.Residual != nil {
		panic("cuda: Linear: dst is an operand, to which no Residual is added")
	}

	// The generation's kernel by the width of the whole weight, so that a part has the same bits.
	by := d.linearOf(k, l.whole.out, l.whole.dtype)
	switch by.kernel {
	case linearFP8:
		in.asOperand(op, "x", floats)
		d.linearFP8(finishing(linearFP8, ep), l, in, out, end)
	case linearV3:
		d.linearPanels(finishing(linearV3, ep), l, in, out, end)
	case linearV2:
		d.linearRows(finishing(linearV2, ep), l, in, out, end)
	default:
		in.asOperand(op, "x", floats)
		d.launch(by.kernel, ceil(out.rows, by.rows), ceil(n, by.cols), append([]value{ptr(in),
			num(in.stride), l.weight(), num(in.rows), num(k), num(n)}, end[:]...)...)
	}
}

// epilogue is the last parameters of every kernel of linear layers, from dst on: what it does with
// its sums.
type epilogue [12]value

// warps is the rows of a block of the norms.
const warps = 4

// producer checks the matrices of an operation from x to dst, which may be an operand.
func producer(op string, dst, x compute.Mat) (out, in view) {
	return either(op, "dst", dst, x.Rows, x.Cols), viewOf(op, "x", x)
}

// inOut checks the matrices of an operation from x to dst.
func inOut(op string, dst, x compute.Mat) (out, in view) {
	return sized(op, "dst", dst, x.Rows, x.Cols), viewOf(op, "x", x)
}

// LayerNorm normalises every row over its width; see compute.Norm.
func (d *Device) LayerNorm(dst, x compute.Mat, p compute.Norm) {
	const op = "LayerNorm"
	out, in := producer(op, dst, x)
	gain, bias := vectorOf(op, "Gain", p.Gain, x.Cols), vectorOf(op, "Bias", p.Bias, x.Cols)
	if gain == 0 && bias != 0 || p.Scale == nil && p.Shift != nil {
		panic("cuda: LayerNorm: Bias without Gain, or Shift without Scale")
	}
	d.enter(op)
	defer d.leave()
	scale := d.rowVecOf(op, "Scale", p.Scale, x.Rows, x.Cols, 0)
	shift := d.rowVecOf(op, "Shift", p.Shift, x.Rows, x.Cols, 1)
	d.launch(layerNorm, ceil(in.rows, warps), 1, append(out.matrix(), ptr(in), num(in.stride),
		num(in.rows), num(in.cols), float(p.Eps), gain, bias, scale.at, scale.stride, scale.index,
		shift.at, shift.stride, shift.index)...)
}

// RMSNorm scales rows by their root mean square and the gain, then rotates pairs, in one launch;
// see compute.Device. Without a rope half is 0, and the kernel rotates nothing.
func (d *Device) RMSNorm(dst, x compute.Mat, gain compute.Vector, eps float32, r *compute.Rope) {
	const op = "RMSNorm"
	out, in := producer(op, dst, x)
	g := vectorOf(op, "gain", gain, x.Cols)
	var cos, sin view
	half := 0
	if r != nil {
		check.Rope(op, r, x.Cols)
		half = r.HeadDim / 2
		cos, sin = sized(op, "rope cos", r.Cos, x.Rows, half), sized(op, "rope sin", r.Sin, x.Rows, half)
	}
	d.enter(op)
	defer d.leave()
	d.launch(rmsNormRope, ceil(in.rows, warps), 1, append(out.matrix(), ptr(in), num(in.stride),
		num(in.rows), num(in.cols), float(eps), g, num(half), ptr(cos), num(cos.stride), ptr(sin),
		num(sin.stride))...)
}

// ChannelNorm computes x / max(|x|, 1e-12) * sqrt(C) * gain, then act; see compute.Device.
func (d *Device) ChannelNorm(dst, x compute.Mat, gain compute.Vector, act compute.Activation) {
	const op = "ChannelNorm"
	out, in := inOut(op, dst, x)
	g := vectorOf(op, "gain", gain, x.Cols)
	check.Activation(op, act)
	d.enter(op)
	defer d.leave()
	d.launch(channelNorm, ceil(in.rows, warps), 1, ptr(out), num(out.stride), ptr(in),
		num(in.stride), num(in.rows), num(in.cols), g, num(int(act)))
}

// Attention computes softmax(scale·q·kᵀ + bias)·v head by head; see compute.Device.
func (d *Device) Attention(dst, q, k, v compute.Mat, a compute.AttentionArgs) {
	const op = "Attention"
	check.Attention(op, dst, q, k, v, a)
	in, out := viewOf(op, "q", q), either(op, "dst", dst, q.Rows, q.Cols)
	keys, vals := either(op, "k", k, k.Rows, q.Cols), either(op, "v", v, k.Rows, q.Cols)
	if keys.form != vals.form || keys.form != floats && keys.stride != vals.stride {
		panic("cuda: Attention: k and v are operands that differ")
	}
	var bias view
	if a.RelBias != nil {
		bias = sized(op, "RelBias", *a.RelBias, a.Heads, max(0, q.Rows+k.Rows-1))
	}

	hd := q.Cols / a.Heads
	d.enter(op)
	defer d.leave()
	lists := value(0)
	if a.Tiles != nil {
		lists = d.numbers(&d.lists, a.Tiles.Flat())
	}
	by := d.attentionOf(hd, a.RelBias != nil, a.DType)
	switch by.kernel {
	case attentionV3Of64, attentionV3Of128:
		d.attendPanels(by, in, keys, vals, out, lists, a)
	case attentionV2Of32, attentionV2Of64, attentionV2Of128:
		d.attendRows(by, in, keys, vals, out, bias, lists, a)
	default:
		keys.asOperand(op, "k", floats)
		d.launch(by.kernel, ceil(in.rows, by.rows), a.Heads, append(out.matrix(), ptr(in),
			num(in.stride), ptr(keys), num(keys.stride), ptr(vals), num(vals.stride), num(in.rows),
			num(keys.rows), num(hd), float(a.Scale), float(a.LastKeyBias), ptr(bias), num(bias.stride),
			lists)...)
	}
}

// AddMeans adds to each value of a coarse volume the mean of its share of a fine one; see
// compute.Block.
func (d *Device) AddMeans(coarse, fine compute.Volume, b compute.Block) {
	check.Blocks("AddMeans", fine, coarse, b)
	d.blocks("AddMeans", addMeans, coarse, fine, fine, coarse, b)
}

// AddRepeated adds each value of a coarse volume to all of its share of a fine one; see
// compute.Block.
func (d *Device) AddRepeated(fine, coarse compute.Volume, b compute.Block) {
	check.Blocks("AddRepeated", fine, coarse, b)
	d.blocks("AddRepeated", addRepeated, fine, coarse, fine, coarse, b)
}

// blocks launches a kernel that adds x to dst, one of which is the fine volume.
func (d *Device) blocks(op string, k kernel, dst, x, fine, coarse compute.Volume,
	b compute.Block) {
	out, in := viewOf(op, "dst", dst.Mat), viewOf(op, "x", x.Mat)
	d.enter(op)
	defer d.leave()
	d.elements(k, out, ptr(out), num(out.stride), ptr(in), num(in.stride), num(out.rows),
		num(out.cols), num(coarse.H), num(coarse.W), num(b.Frames), num(b.Side),
		num(b.Missing(fine, coarse)), num(b.Share(fine, coarse)))
}

// Activate computes dst = act(x). dst may be x.
func (d *Device) Activate(dst, x compute.Mat, act compute.Activation) {
	check.Activation("Activate", act)
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
	out, in := producer("Add", dst, a)
	other := sized("Add", "b", b, a.Rows, a.Cols)
	d.enter("Add")
	defer d.leave()
	d.elements(add, in, append(out.matrix(), ptr(in), num(in.stride), ptr(other), num(other.stride),
		num(in.rows), num(in.cols))...)
}

// Copy copies src to dst, which must not overlap.
func (d *Device) Copy(dst, src compute.Mat) {
	check.Apart("Copy", "dst", "src", dst, src)
	out, in := either("Copy", "dst", dst, src.Rows, src.Cols), anyView("Copy", "src", src)
	d.enter("Copy")
	defer d.leave()
	d.elements(copyRows, in, copyParams(out, in)...)
}

// copyParams are the parameters of copyRows from one view to another.
func copyParams(to, from view) []value {
	return append(append(to.matrix(), from.matrix()...), num(from.rows), num(from.cols))
}
