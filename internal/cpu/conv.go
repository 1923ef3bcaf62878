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
	const most = 1 << 16
	for _, n := range []int{s.Out, s.In, s.KT, s.KH, s.KW} {
		if n < 1 || n > most {
			return nil, fmt.Errorf("cannot pack a convolution: shape %+v, want 1 to %d", s, most)
		}
	}
	taps := s.KT * s.KH * s.KW
	if err := d.checkWeight(w, bias, s.Out, s.In*taps, compute.FP32); err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}
	k := s.In * taps
	byTap := make([]float32, len(w)) // [out, taps, in]
	for at := 0; at < len(w); at += k {
		for in := range s.In {
			for tap, v := range w[at+in*taps : at+(in+1)*taps] {
				byTap[at+tap*s.In+in] = v
			}
		}
	}
	return &conv{
		panels: packPanels(d.kern, byTap, s.Out, k, nil),
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
	d.gather = newGather(c.shape, x, a)
	g := &d.gather
	g.zero = d.zeros(g.taps * c.shape.In)
	t, h, wide := g.outSize()
	if dst.T != t || dst.H != h || dst.W != wide || t < 1 {
		panic(fmt.Sprintf("cpu: Conv: dst is %d x %d x %d, want %d x %d x %d",
			dst.T, dst.H, dst.W, t, h, wide))
	}
	out := sized(op, "dst", dst.Mat, t*h*wide, c.shape.Out)
	apart(op, "dst", "x", dst.Mat, x.Mat)
	g.height, g.width = h, wide
	ep := newEpilogue(op, d.kern, c.bias, compute.Epilogue{Residual: a.Residual}, out)
	d.multiply(product{m: out.rows, src: g, w: &c.panels, gemm: d.kern.gemm,
		span: g.taps * c.shape.In, ep: ep})
}

// History, for the demo's decoder (33 frames of 64x112, two Zen 4 threads, diffusers 1,230 ms): v1
// gathers voxels into packed panels in portable Go: 2,900 ms; v2 reads them in place, a pointer per
// voxel and tap, in AVX-512: 460 ms; v3 takes neighbouring taps in one run: 360 ms. On two Intel
// threads (diffusers 1,190 ms): v3: 312 ms; v4 aims at whole lines of voxels and finishes all rows
// of a tile at once: 235 ms.

// gather is a source whose rows are the voxels that a convolution reads for one output voxel.
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

func newGather(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) gather {
	g := gather{
		shape: s, frames: x.T, front: a.FrontPad, inHigh: x.H, inWide: x.W,
		x: sized("Conv", "x", x.Mat, x.T*x.H*x.W, s.In), taps: 1,
		stride: 1, strideT: max(a.StrideT, 1), padH: s.KH / 2, padW: s.KW / 2,
	}
	if a.FrontPad < 0 || a.StrideT < 0 || x.H < 1 || x.W < 1 || a.Upsample && a.Downsample {
		panic(fmt.Sprintf("cpu: Conv: %+v, frames of %d x %d", a, x.H, x.W))
	}
	if a.Downsample {
		g.stride, g.padH, g.padW = 2, 0, 0
	}
	if a.Upsample {
		g.double = 1
	} else if x.Stride == s.In && (a.Prev == nil || a.Prev.Stride == s.In) {
		g.taps = s.KW // neighbours lie side by side
	}
	if p := a.Prev; p != nil {
		if p.H != x.H || p.W != x.W {
			panic(fmt.Sprintf("cpu: Conv: Prev has frames of %d x %d, x of %d x %d",
				p.H, p.W, x.H, x.W))
		}
		g.prev = sized("Conv", "Prev", p.Mat, p.T*p.H*p.W, s.In)
		g.prevFrames, g.frames = p.T, x.T+p.T
	}
	return g
}

// outSize returns the frames, height and width of the output; t is below 1 where there are too few
// frames.
func (g *gather) outSize() (t, h, w int) {
	s := g.shape
	t = (g.frames + g.front - s.KT + g.strideT) / g.strideT
	if g.stride > 1 {
		return t, g.inHigh / g.stride, g.inWide / g.stride
	}
	h = g.inHigh<<g.double + s.KH/2*2 - s.KH + 1
	w = g.inWide<<g.double + s.KW/2*2 - s.KW + 1
	return t, h, w
}

// load starts a turn: what the last one composed is not needed any more.
func (g *gather) load(w *worker, _, _, _, _ int) { w.composed = w.composed[:0] }

// aim points at what a run reads for a group of output voxels: taps neighbouring voxels, from step
// k0 on. Voxels beyond the last one read something; nothing of it is kept.
func (g *gather) aim(w *worker, at []*float32, row, k0 int) {
	span := g.taps * g.shape.In
	run, from := k0/span*g.taps, k0%span
	kw, kh, kt := run%g.shape.KW, run/g.shape.KW%g.shape.KH, run/(g.shape.KW*g.shape.KH)
	for len(at) > 0 {
		x, y, t := row%g.width, row/g.width%g.height, row/(g.width*g.height)
		n := min(len(at), g.width-x)
		voxels := g.line(t*g.strideT+kt-g.front, y*g.stride+kh-g.padH)
		first := x*g.stride + kw - g.padW
		last := first + (n-1)*g.stride
		if g.double == 0 && voxels.data != nil && first >= 0 && last+g.taps <= g.inWide {
			point(at[:n], voxels.data[first*voxels.stride+from:], g.stride*voxels.stride, n)
		} else {
			for i := range n {
				at[i] = g.point(w, voxels, first+i*g.stride, from)
			}
		}
		at, row = at[n:], row+n
	}
}

// line is a row of voxels, stride elements apart; nil where it is padding.
type line struct {
	data   []float32
	stride int
}

// line returns row y of frame t.
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

// point returns where a run reads the taps voxels from x on, beginning at element from: in place,
// or where some of them are padding, in a copy.
func (g *gather) point(w *worker, l line, x, from int) *float32 {
	wide := g.inWide << g.double
	switch {
	case l.data == nil || x+g.taps <= 0 || x >= wide:
		return &g.zero[from]
	case x >= 0 && x+g.taps <= wide:
		return &l.data[x>>g.double*l.stride+from]
	}
	n := len(w.composed)
	for i := range g.taps {
		voxel := g.zero[:g.shape.In]
		if x+i >= 0 && x+i < wide {
			voxel = l.data[(x+i)*l.stride:][:g.shape.In]
		}
		w.composed = append(w.composed, voxel...)
	}
	return &w.composed[n+from]
}

// ahead knows nothing: a voxel was read for the outputs around it, too.
func (g *gather) ahead(int, int) (at *float32, step int) { return nil, 0 }
