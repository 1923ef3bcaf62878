//go:build cuda

package cuda

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"gorgonia.org/cu"
)

// Tiles and operands of conv_v2 and conv_v3, see kernels/conv/blocks.h: voxels and weights are in
// blocks of 128 bytes, of 32 channels in two halves of bfloat16 or of 64 channels in one.
const (
	convRows   = 128 // voxels of a tile, all of one frame
	blockBytes = 128
	blockWide  = blockBytes / 2 // numbers of a block
	stepWide   = 16             // channels that tensor cores multiply at a time
)

// sharedConv is the shared memory of so many stages: voxels, and the weights of a tile's outputs.
func sharedConv(stages, cols int) int { return stages * (convRows + cols) * blockBytes }

// convsV2 and convsV3 list the kernels by the columns of their tiles, widest last.
var (
	convsV2 = []convKernels{{32, convV2Of32, convV2Of32BF16}, {96, convV2Of96, convV2Of96BF16}}
	convsV3 = []convKernels{{32, convV3Of32, convV3Of32BF16}, {96, convV3Of96, convV3Of96BF16},
		{192, convV3Of192, convV3Of192BF16}}
)

// convKernels are those of one width of tiles.
type convKernels struct {
	cols      int
	fp32, low kernel
}

// convOn returns the function of a generation that chooses among its kernels by the outputs: the
// widest tiles, which read voxels the fewest times, of those that waste the fewest columns. Few
// columns are for few outputs only: they would read voxels too often.
func convOn(all []convKernels) func(out int, t compute.DType) product {
	return func(out int, t compute.DType) product {
		by := all[0]
		for _, k := range all[1:] {
			fewer := ceil(out, k.cols)*k.cols <= ceil(out, by.cols)*by.cols
			if out > all[0].cols && (by == all[0] || fewer) {
				by = k
			}
		}

		// The type changes what a product is made of, never the tile.
		if t == compute.BF16 {
			return product{by.low, convRows, by.cols}
		}
		return product{by.fp32, convRows, by.cols}
	}
}

// convolution is a weight [out, taps, in] in float32 for v1, or its operand.
type convolution struct {
	*packed
	shape compute.ConvShape
	by    product
	pitch int // rows of the operand: outputs, and zeros that fill the last tile
}

// Shape returns the shape of the weight it was packed from.
func (c *convolution) Shape() compute.ConvShape { return c.shape }

// checkConv refuses types of convolutions that the chosen generation lacks.
func (d *Device) checkConv() error {
	if d.conv == compute.FP32 || d.conv == compute.BF16 && d.generations[0].name != "v1" {
		return nil
	}
	return fmt.Errorf("the type of convolutions is %v; kernels %s allow: fp32", d.conv,
		d.generations[0].name)
}

// convOf returns the kernel for convolutions into so many outputs.
func (d *Device) convOf(out int) product {
	return d.first(func(g generation) product { return g.conv(out, d.conv) })
}

// channels returns how many channels a block of an operand has.
func (d *Device) channels() int {
	if d.conv == compute.BF16 {
		return blockWide
	}
	return blockWide / 2
}

// PackConv copies a weight [out, in, kt, kh, kw], its taps before its channels, and a bias [out] or
// nil to the device, as the kernel for its outputs reads it.
func (d *Device) PackConv(w, bias []float32, s compute.ConvShape) (compute.Conv, error) {
	byTap, err := s.TapsFirst(w)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}

	k := s.In * s.KT * s.KH * s.KW
	plain, err := d.pack([]tensor.Tensor{tensor.FromFloat32(byTap, len(byTap))}, bias, s.Out, k,
		compute.FP32)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}

	c := &convolution{packed: plain, shape: s, by: d.convOf(s.Out)}
	if c.by.kernel != conv {
		if err := d.packOperand(c); err != nil {
			return nil, fmt.Errorf("cannot pack a convolution: %w", err)
		}
	}
	return c, nil
}

// packOperand puts the operand of a weight in its place.
func (d *Device) packOperand(c *convolution) (err error) {
	d.enter("pack")
	defer d.leave()
	s, plain := c.shape, c.weight

	// Rows of zeros fill the last tile, so that a tile's weights are one run of bytes.
	c.pitch = ceil(s.Out, c.by.cols) * c.by.cols
	rows := s.KT * s.KH * s.KW * ceil(s.In, d.channels()) * c.pitch
	if c.weight, err = owned(d, c.packed, int64(rows*blockBytes)); err != nil {
		return err
	}

	// A thread of the kernel makes 16 bytes; the float32 weight goes once that is issued.
	d.launch(convWeights, ceil(rows*blockBytes/16, kernels[convWeights].threads), 1,
		arg(c.weight.at), arg(plain.at), num(s.KT*s.KH), num(s.KW), num(s.In), num(s.Out),
		num(c.pitch), flag(d.conv == compute.FP32))
	plain.owner.Stop()
	d.keep(d.memory.give(plain))
	return d.failure()
}

// ConvBytes returns the size of the operand of all frames, or with v1 what the norm
// gives.
func (d *Device) ConvBytes(x compute.Volume, s compute.ConvShape, a compute.ConvArgs) int64 {
	if d.convOf(s.Out).kernel == conv {
		return compute.NormedBytes(x, s, a)
	}

	// Earlier frames are laid out in front of x's, so that products see one volume.
	frames := x.T
	if a.Prev != nil {
		frames += a.Prev.T
	}
	return int64(frames*x.H*x.W) * int64(ceil(s.In, d.channels())*blockBytes)
}

// Conv computes a causal 3D convolution; see compute.ConvArgs.
func (d *Device) Conv(dst, x compute.Volume, w compute.Conv, a compute.ConvArgs) {
	const op = "Conv"
	c, ok := w.(*convolution)
	if !ok {
		panic(fmt.Sprintf("cuda: Conv: weight is a %T, not of the cuda device", w))
	}
	s := c.shape
	check.Conv(op, dst, x, s, a)

	// Everything is checked before anything is launched: views, then the norm.
	v := convViews{dst: dst, x: x, in: sized(op, "x", x.Mat, x.T*x.H*x.W, s.In),
		out: sized(op, "dst", dst.Mat, dst.T*dst.H*dst.W, s.Out), frames: x.T}
	if p := a.Prev; p != nil {
		v.prev = sized(op, "Prev", p.Mat, p.T*p.H*p.W, s.In)
		v.frames += p.T
	}

	v.residual = optional(op, "Residual", a.Residual, v.out)
	if a.Norm != nil {
		v.gain = vectorOf(op, "gain", a.Norm.Gain, s.In)
		check.Activation(op, a.Norm.Act)
	}

	d.enter(op)
	defer d.leave()
	work := d.workOf(op, a.Work, d.ConvBytes(x, s, a))
	if c.by.kernel == conv {
		d.convPlain(c, v, a, work)
	} else if work != 0 {
		d.convOperand(c, v, a, work)
	}
}

// convViews are the matrices of a convolution, checked.
type convViews struct {
	dst, x                  compute.Volume
	in, prev, out, residual view
	gain                    value // of the norm; 0: ones
	frames                  int   // of prev and x
}

// workOf returns memory for so many bytes: what the caller brings, or the device's own. It is 0
// where there is none, and then the error sticks.
func (d *Device) workOf(op string, given compute.Memory, bytes int64) cu.DevicePtr {
	// Its own stays for the next convolution.
	if given == nil {
		if m := d.grow(&d.operand, int(bytes)); m != nil {
			return m.at
		}
		return 0
	}

	// Too little would be written beyond: a mistake of the caller, like a wrong shape.
	m := memoryOf(op, given)
	if int64(4*m.n) < bytes {
		panic(fmt.Sprintf("cuda: %s: Work has %d bytes, want %d", op, 4*m.n, bytes))
	}
	return m.at
}

// place returns the parameters that say where outputs read: from one to the next in time and space,
// and zeros above and on the left.
func place(s compute.ConvShape, a compute.ConvArgs) (strideT, stride, padH, padW value) {
	if a.Downsample {
		return num(max(a.StrideT, 1)), 2, 0, 0
	}
	return num(max(a.StrideT, 1)), 1, num(s.KH / 2), num(s.KW / 2)
}

// convPlain is Conv with v1: a pass for the norm where there is one, then the product.
func (d *Device) convPlain(c *convolution, v convViews, a compute.ConvArgs, work cu.DevicePtr) {
	s, in := c.shape, v.in
	if a.Norm != nil {
		in = view{at: work, rows: in.rows, cols: in.cols, stride: in.cols}
		d.launch(channelNorm, ceil(in.rows, warps), 1, ptr(in), num(in.stride), ptr(v.in),
			num(v.in.stride), num(in.rows), num(in.cols), v.gain, num(int(a.Norm.Act)))
	}

	// A thread block has 64 voxels, of any frames, and 64 outputs.
	strideT, stride, padH, padW := place(s, a)
	d.launch(conv, ceil(v.out.rows, tile), ceil(s.Out, tile), ptr(in), num(in.stride), ptr(v.prev),
		num(v.prev.stride), num(v.frames-v.x.T), num(v.frames), num(a.FrontPad), num(v.x.H),
		num(v.x.W), flag(a.Upsample), num(s.KT), num(s.KH), num(s.KW), num(s.In), arg(c.weight.at),
		num(v.out.rows), num(v.dst.H), num(v.dst.W), strideT, stride, padH, padW, num(s.Out),
		ptr(v.out), num(v.out.stride), biasOf(c.packed), ptr(v.residual), num(v.residual.stride))
}

// convOperand is Conv with v2 and v3: one pass reads what is convolved and writes its operand,
// normed on the way, earlier frames first; then the product reads that.
func (d *Device) convOperand(c *convolution, v convViews, a compute.ConvArgs, work cu.DevicePtr) {
	s, wide := c.shape, d.channels()
	blocks := ceil(s.In, wide)

	// Prev is normed already, see compute.ConvArgs.
	d.intoOperand(work, v.prev, nil, 0)
	d.intoOperand(work+cu.DevicePtr(v.prev.rows*blocks*blockBytes), v.in, a.Norm, v.gain)

	strideT, stride, padH, padW := place(s, a)
	tiles := v.dst.T * ceil(v.dst.H*v.dst.W, c.by.rows) * ceil(s.Out, c.by.cols)

	// Steps of the last block that have no channel are left out.
	last := ceil(s.In-(blocks-1)*wide, stepWide)
	d.launch(c.by.kernel, tiles, 1, arg(work), num(v.frames), num(a.FrontPad), num(v.x.H),
		num(v.x.W), flag(a.Upsample), num(s.KT), num(s.KH), num(s.KW), num(blocks), num(last),
		arg(c.weight.at), num(c.pitch), num(v.dst.T), num(v.dst.H), num(v.dst.W), strideT, stride,
		padH, padW, num(s.Out), ptr(v.out), num(v.out.stride), biasOf(c.packed), ptr(v.residual),
		num(v.residual.stride), flag(inPairs(v.out, s.Out) && inPairs(v.residual, s.Out)))
}

// intoOperand writes the operand of a matrix of voxels, with a norm of such a gain where there is
// one.
func (d *Device) intoOperand(to cu.DevicePtr, m view, norm *compute.ChannelNorm, gain value) {
	by, act := convVoxels, compute.Identity
	if d.conv == compute.BF16 {
		by = convVoxelsBF16
	}
	if norm != nil {
		act = norm.Act
	}
	d.launch(by, ceil(m.rows, warps), 1, arg(to), ptr(m), num(m.stride), num(m.rows), num(m.cols),
		flag(norm != nil), gain, num(int(act)))
}

// inPairs says whether rows of so many columns begin where two numbers may be read at once.
func inPairs(v view, cols int) bool {
	return v.at%8 == 0 && v.stride%2 == 0 && cols%2 == 0
}

// biasOf returns where a bias begins, 0 where there is none.
func biasOf(p *packed) value {
	if p.bias == nil {
		return 0
	}
	return arg(p.bias.at)
}
