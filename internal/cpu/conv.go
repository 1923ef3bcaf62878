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
	if err := d.checkWeight(w, bias, s.Out, s.In*taps); err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}
	at := make([]int, s.In*taps)
	for k := range at {
		at[k] = k%s.In*taps + k/s.In
	}
	return &conv{
		panels: packPanels(w, s.Out, s.In*taps, d.kern.nr, at),
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
	g.kern = &d.kern
	t, h, wide := g.outSize(a.FrontPad)
	if dst.T != t || dst.H != h || dst.W != wide || t < 1 {
		panic(fmt.Sprintf("cpu: Conv: dst is %d x %d x %d, want %d x %d x %d",
			dst.T, dst.H, dst.W, t, h, wide))
	}
	out := sized(op, "dst", dst.Mat, t*h*wide, c.shape.Out)
	apart(op, "dst", "x", dst.Mat, x.Mat)
	g.height, g.width = h, wide
	ep := newEpilogue(op, c.bias, compute.Epilogue{Residual: a.Residual}, out)
	d.multiply(&product{m: out.rows, src: g, w: c.panels, store: ep.store})
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
	kern           *kernels
}

func newGather(s compute.ConvShape, x compute.Volume, a compute.ConvArgs) *gather {
	g := &gather{
		shape: s, frames: x.T, front: a.FrontPad, inHigh: x.H, inWide: x.W,
		x: sized("Conv", "x", x.Mat, x.T*x.H*x.W, s.In),
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

func (g *gather) pack(w *worker, dst []float32, row, k0, k1 int) {
	mr := g.kern.mr
	rows := w.lanes(mr)
	if cap(w.sites) < mr {
		w.sites = make([]site, mr)
	}
	sites := w.sites[:mr]
	for i := range sites {
		at := row + i
		sites[i] = site{at / (g.height * g.width), at / g.width % g.height, at % g.width}
	}
	for k := k0; k < k1; {
		tap, ch := k/g.shape.In, k%g.shape.In
		n := min(g.shape.In-ch, k1-k)
		for i, s := range sites {
			rows[i] = zeros[:n]
			if v := g.voxel(s, tap); v != nil {
				rows[i] = v[ch : ch+n]
			}
		}
		g.kern.interleave(dst[(k-k0)*mr:], rows)
		k += n
	}
}

// voxel returns what the output voxel at s reads for a tap, nil where that is padding.
func (g *gather) voxel(s site, tap int) []float32 {
	kw := tap % g.shape.KW
	kh := tap / g.shape.KW % g.shape.KH
	f := s.t + tap/(g.shape.KW*g.shape.KH) - g.front
	h, w := s.h+kh-g.shape.KH/2, s.w+kw-g.shape.KW/2
	if f < 0 || f >= g.frames || h < 0 || h >= g.inHigh<<g.double ||
		w < 0 || w >= g.inWide<<g.double {
		return nil
	}
	at := (h>>g.double)*g.inWide + w>>g.double
	if f < g.prevFrames {
		return g.prev.row(f*g.inHigh*g.inWide + at)
	}
	return g.x.row((f-g.prevFrames)*g.inHigh*g.inWide + at)
}
