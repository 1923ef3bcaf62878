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
	for i := range byTap {
		out, tap, in := i/k, i%k/s.In, i%s.In
		byTap[i] = w[out*k+in*taps+tap]
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
	g := newGather(c.shape, x, a)
	t, h, wide := g.outSize(a.FrontPad)
	if dst.T != t || dst.H != h || dst.W != wide || t < 1 {
		panic(fmt.Sprintf("cpu: Conv: dst is %d x %d x %d, want %d x %d x %d",
			dst.T, dst.H, dst.W, t, h, wide))
	}
	out := sized(op, "dst", dst.Mat, t*h*wide, c.shape.Out)
	apart(op, "dst", "x", dst.Mat, x.Mat)
	g.height, g.width = h, wide
	ep := newEpilogue(op, d.kern, c.bias, compute.Epilogue{Residual: a.Residual}, out)
	d.multiply(&product{m: out.rows, src: g, w: c.panels, gemm: d.kern.gemm, span: c.shape.In, ep: ep})
}

// gather is a source whose rows are the voxels that a convolution reads for one output voxel.
type gather struct {
	shape          compute.ConvShape
	prev, x        view
	prevFrames     int // frames of prev
	frames         int // frames of prev and x
	front          int // zero frames before them
	inHigh, inWide int // size of an input frame
	double         int // 1 when frames are doubled in height and width, else 0
	height, width  int // size of an output frame
	zero           []float32
}

func newGather(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) *gather {
	g := &gather{
		shape: s, frames: x.T, front: a.FrontPad, inHigh: x.H, inWide: x.W,
		x: sized("Conv", "x", x.Mat, x.T*x.H*x.W, s.In), zero: make([]float32, s.In),
	}
	if a.FrontPad < 0 || x.H < 1 || x.W < 1 {
		panic(fmt.Sprintf("cpu: Conv: FrontPad %d, frames of %d x %d", a.FrontPad, x.H, x.W))
	}
	if a.Upsample {
		g.double = 1
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

// outSize returns the frames, height and width of the output.
func (g *gather) outSize(front int) (t, h, w int) {
	s := g.shape
	t = g.frames + front - s.KT + 1
	h = g.inHigh<<g.double + s.KH/2*2 - s.KH + 1
	w = g.inWide<<g.double + s.KW/2*2 - s.KW + 1
	return t, h, w
}

// site is the place of an output voxel.
type site struct{ t, h, w int }

// load has nothing to do: voxels are read in place.
func (g *gather) load(*worker, int, int, int, int) {}

// aim points at the voxels that one tap reads for a group of output voxels.
func (g *gather) aim(_ *worker, at []*float32, row, k0 int) {
	tap, ch := k0/g.shape.In, k0%g.shape.In
	s := site{row / (g.height * g.width), row / g.width % g.height, row % g.width}
	for i := range at {
		at[i] = g.voxel(s, tap, ch)
		if s.w++; s.w == g.width {
			s.w = 0
			if s.h++; s.h == g.height {
				s.h = 0
				s.t++
			}
		}
	}
}

// voxel returns what the output voxel at s reads for a tap from channel ch on: zeros where that is
// padding, and beyond the last frame, where nothing of it is kept.
func (g *gather) voxel(s site, tap, ch int) *float32 {
	kw := tap % g.shape.KW
	kh := tap / g.shape.KW % g.shape.KH
	f := s.t + tap/(g.shape.KW*g.shape.KH) - g.front
	h, w := s.h+kh-g.shape.KH/2, s.w+kw-g.shape.KW/2
	if f < 0 || f >= g.frames || h < 0 || h >= g.inHigh<<g.double ||
		w < 0 || w >= g.inWide<<g.double {
		return &g.zero[ch]
	}
	at := (h>>g.double)*g.inWide + w>>g.double
	if f < g.prevFrames {
		return &g.prev.data[(f*g.inHigh*g.inWide+at)*g.prev.stride+ch]
	}
	return &g.x.data[((f-g.prevFrames)*g.inHigh*g.inWide+at)*g.x.stride+ch]
}
