package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

// conv is a convolution weight packed in (kt, kh, kw, in) order of k.
type conv struct {
	panels
	bias  []float32
	shape compute.ConvShape
}

// Shape returns the shape of the weight it was packed from.
func (c *conv) Shape() compute.ConvShape { return c.shape }

// PackConv packs a weight [out, in, kt, kh, kw] and a bias [out] or nil. It refuses sizes that do
// not match.
func (d *Device) PackConv(w, bias []float32, s compute.ConvShape) (compute.Conv, error) {
	byTap, err := s.TapsFirst(w)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}
	k := s.In * s.KT * s.KH * s.KW
	rows := floatRows(byTap, s.Out, k)
	if err := d.checkWeight(rows, bias, compute.FP32); err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}
	return &conv{
		panels: packPanels(d.kern, rows, nil),
		bias:   append([]float32(nil), bias...),
		shape:  s,
	}, nil
}

// Conv computes a causal 3D convolution; see compute.ConvArgs.
func (d *Device) Conv(dst, x compute.Volume, w compute.Conv, a compute.ConvArgs) {
	const op = "Conv"
	c, ok := w.(*conv)
	if !ok {
		panic(fmt.Sprintf("cpu: Conv: weight is a %T, not of the cpu device", w))
	}
	check.Conv(op, dst, x, c.shape, a)
	if a.Norm != nil {
		x.Mat = d.normed(x.Mat, a)
	}

	d.gather = newGather(c.shape, x, a)
	g := &d.gather
	g.zero = d.zeros(g.taps * c.shape.In)
	g.height, g.width = dst.H, dst.W
	out := sized(op, "dst", dst.Mat, dst.T*dst.H*dst.W, c.shape.Out)

	ep := newEpilogue(op, d.kern, c.bias, compute.Epilogue{Residual: a.Residual}, out)
	d.multiply(product{m: out.rows, src: g, w: &c.panels, gemm: d.kern.gemm,
		span: g.taps * c.shape.In, ep: ep})
}

// ConvBytes returns the bytes of what a norm gives.
func (d *Device) ConvBytes(x compute.Volume, s compute.ConvShape, a compute.ConvArgs) int64 {
	return compute.NormedBytes(x, s, a)
}

// normed returns what a.Norm makes of x, in the memory that a brings or in the device's own.
func (d *Device) normed(x compute.Mat, a compute.ConvArgs) compute.Mat {
	// Where the caller brings none, what was taken before stays and grows.
	work := a.Work
	if work == nil {
		if n := x.Rows * x.Cols; d.norms.n < n {
			d.norms = memory{n: n, data: make([]float32, n)}
		}
		work = &d.norms
	}
	y := compute.NewMat(work, x.Rows, x.Cols)
	d.ChannelNorm(y, x, a.Norm.Gain, a.Norm.Act)
	return y
}

// History, for the demo's decoder (33 frames of 64x112, two Zen 4 threads, diffusers 1,230 ms): v1
// gathers voxels into packed panels in portable Go: 2,900 ms; v2 reads them in place, a pointer per
// voxel and tap, in AVX-512: 460 ms; v3 takes neighbouring taps in one run: 360 ms. On two Intel
// threads (diffusers 1,190 ms): v3: 312 ms; v4 sets the pointers of whole lines of voxels and
// finishes all rows of a tile at once: 235 ms.

// gather is a source whose rows are the voxels that a convolution reads for one output voxel. Steps
// of k go over the kernel's taps, (kt, kh, kw, in). Upsampling, strides and padding are in how
// pointers are set; nothing of that is ever stored.
type gather struct {
	shape          compute.ConvShape
	prev, x        view
	prevFrames     int // frames of prev
	frames         int // frames of prev and x
	front          int // zero frames before them
	inHigh, inWide int // size of an input frame
	double         int // 1 when frames are doubled in height and width, else 0
	strideT        int // frames from one output to the next
	stride         int // voxels from one output to the next, down and across
	padH, padW     int // zero voxels above and on the left
	height, width  int // size of an output frame
	taps           int // neighbours in a row that a run takes at once
	zero           []float32
}

// newGather returns the source for arguments that check.Conv has passed. dst's size is left to set.
func newGather(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) gather {
	g := gather{
		shape: s, frames: x.T, front: a.FrontPad, inHigh: x.H, inWide: x.W,
		x: sized("Conv", "x", x.Mat, x.T*x.H*x.W, s.In), taps: 1,
		stride: 1, strideT: max(a.StrideT, 1), padH: s.KH / 2, padW: s.KW / 2,
	}

	if a.Downsample {
		g.stride, g.padH, g.padW = 2, 0, 0
	}
	if a.Upsample {
		g.double = 1
	} else if x.Stride == s.In && (a.Prev == nil || a.Prev.Stride == s.In) {
		// Neighbours in a row lie side by side, so a run of k can take a whole row of the kernel.
		g.taps = s.KW
	}

	if p := a.Prev; p != nil {
		g.prev = sized("Conv", "Prev", p.Mat, p.T*p.H*p.W, s.In)
		g.prevFrames, g.frames = p.T, x.T+p.T
	}
	return g
}

// load implements source. Padded voxels of the previous block of k are not needed any more.
func (g *gather) load(w *worker, _, _, _, _ int) { w.padded = w.padded[:0] }

// setPointers implements source: each run reads taps neighbouring voxels, from step k0 on. Output
// voxels beyond the last one read something; nothing of it is kept.
func (g *gather) setPointers(w *worker, at []*float32, row, k0 int) {
	span := g.taps * g.shape.In
	run, from := k0/span*g.taps, k0%span
	kw, kh, kt := run%g.shape.KW, run/g.shape.KW%g.shape.KH, run/(g.shape.KW*g.shape.KH)

	// One line of output voxels after the other, as far as the group reaches.
	for len(at) > 0 {
		x, y, t := row%g.width, row/g.width%g.height, row/(g.width*g.height)
		n := min(len(at), g.width-x)
		voxels := g.line(t*g.strideT+kt-g.front, y*g.stride+kh-g.padH)
		first := x*g.stride + kw - g.padW
		last := first + (n-1)*g.stride

		// A line that needs neither padding nor doubling is a plain matrix.
		if g.double == 0 && voxels.data != nil && first >= 0 && last+g.taps <= g.inWide {
			pointAt(at[:n], voxels.data[first*voxels.stride+from:], g.stride*voxels.stride, n)
		} else {
			for i := range n {
				at[i] = g.runStart(w, voxels, first+i*g.stride, from)
			}
		}
		at, row = at[n:], row+n
	}
}

// line is a row of voxels, stride elements apart; data is nil where the row is padding.
type line struct {
	data   []float32
	stride int
}

// line returns row y, in the doubled frame where frames are doubled, of frame t.
func (g *gather) line(t, y int) line {
	if t < 0 || t >= g.frames || y < 0 || y >= g.inHigh<<g.double {
		return line{}
	}
	v, first := &g.x, (t-g.prevFrames)*g.inHigh
	if t < g.prevFrames {
		v, first = &g.prev, t*g.inHigh
	}
	return line{v.data[(first+y>>g.double)*g.inWide*v.stride:], v.stride}
}

// runStart returns where a run reads the taps voxels from x on, beginning at element from: in
// place, in zeros where all of them are padding, and in a copy where some are.
func (g *gather) runStart(w *worker, l line, x, from int) *float32 {
	wide := g.inWide << g.double
	switch {
	case l.data == nil || x+g.taps <= 0 || x >= wide:
		return &g.zero[from]
	case x >= 0 && x+g.taps <= wide:
		return &l.data[x>>g.double*l.stride+from]
	}

	// The copy stays until the block of k is done: load empties the buffer.
	n := len(w.padded)
	for i := range g.taps {
		voxel := g.zero[:g.shape.In]
		if x+i >= 0 && x+i < wide {
			voxel = l.data[(x+i)*l.stride:][:g.shape.In]
		}
		w.padded = append(w.padded, voxel...)
	}
	return &w.padded[n+from]
}

// ahead implements source. Prefetching would gain nothing: most voxels of the next row were read
// for the outputs around it.
func (g *gather) ahead(int, int) (at *float32, step int) { return nil, 0 }
