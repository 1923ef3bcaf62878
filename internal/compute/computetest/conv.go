package computetest

import (
	"math"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// convCase is a drawn convolution over prev and x frames of h x w voxels. It covers what Wan's VAE
// does: causal in time with frames kept from the call before, resampling in space or time, and
// residual connections.
type convCase struct {
	placing
	shape         compute.ConvShape
	prev, t, h, w int       // frames before x, frames of x, their size
	front         int       // zero frames before all
	strideT       int       // 0 is 1
	up, down      bool      // frames are doubled, or outputs are two voxels apart
	x             []float32 // the frames of prev, then those of x
	weight, bias  []float32
	residual      []float32
	inPlace       bool               // dst is the residual
	normed        bool               // x is normed first, and prev's frames before
	gain          []float32          // of the norm; nil: ones
	act           compute.Activation // behind the norm
	dtype         compute.DType      // what the device rounds products' factors to
}

// drawConv draws a convolution with at least one output frame. Sizes are small, since the reference
// is slow and a mistake at a border shows at any size.
func drawConv(t *rapid.T) *convCase {
	odd := rapid.SampledFrom([]int{1, 3})
	c := &convCase{
		placing: drawPlacing(t),
		shape: compute.ConvShape{
			Out: drawSize(t, "out", 40), In: drawSize(t, "in", 40),
			KT: rapid.IntRange(1, 3).Draw(t, "kt"),
			KH: odd.Draw(t, "kh"), KW: odd.Draw(t, "kw"),
		},
		prev: rapid.IntRange(0, 2).Draw(t, "prev"), t: rapid.IntRange(1, 3).Draw(t, "t"),
		h: rapid.IntRange(1, 6).Draw(t, "h"), w: rapid.IntRange(1, 7).Draw(t, "w"),
		strideT: rapid.IntRange(0, 2).Draw(t, "stride in time"),
		inPlace: rapid.Bool().Draw(t, "in place"),
	}

	switch rapid.SampledFrom([]string{"", "up", "down"}).Draw(t, "resample") {
	case "up":
		c.up = true
	case "down":
		c.down, c.h, c.w = true, c.h+1, c.w+1
	}

	// Enough zero frames that the kernel fits in time once.
	least := max(0, c.shape.KT-c.prev-c.t)
	c.front = rapid.IntRange(least, 2).Draw(t, "front")
	c.normed = rapid.Bool().Draw(t, "normed")
	c.act = rapid.SampledFrom([]compute.Activation{compute.Identity, compute.SiLU}).Draw(t, "act")
	c.fill(drawNumbers(t))
	if rapid.Bool().Draw(t, "residual") {
		c.residual = drawNumbers(t).normal(c.rows()*c.shape.Out, 1)
	}
	return c
}

// fill draws the values for the shapes of the case; weights are scaled so that results are of order
// one.
func (c *convCase) fill(r numbers) {
	s := c.shape
	k := s.In * s.KT * s.KH * s.KW
	c.x = r.normal((c.prev+c.t)*c.h*c.w*s.In, 1)
	c.weight = r.normal(s.Out*k, 1/math.Sqrt(float64(k)))
	if r.IntN(2) == 0 {
		c.bias = r.normal(s.Out, 1)
	}
	if r.IntN(2) == 0 {
		c.gain = r.normal(s.In, 1)
	}
}

// out returns the frames of the output and their size, as compute.ConvArgs defines them. The suite
// does not ask ConvArgs.OutSize: it is to find mistakes there, too.
func (c *convCase) out() (t, h, w int) {
	t = (c.prev+c.t+c.front-c.shape.KT)/max(c.strideT, 1) + 1
	h, w = c.scaled()
	if c.down {
		return t, h / 2, w / 2
	}
	return t, h, w
}

// scaled returns the size of a frame that the kernel sees.
func (c *convCase) scaled() (h, w int) {
	if c.up {
		return 2 * c.h, 2 * c.w
	}
	return c.h, c.w
}

// rows is the voxels of the output. It is the number of rows of the matrix that the device writes.
func (c *convCase) rows() int {
	t, h, w := c.out()
	return t * h * w
}

// pack prepares the weight on a device. A shape that is reported wrongly would let callers allocate
// too little.
func (c *convCase) pack(t fataler, dev compute.Device) compute.Conv {
	t.Helper()
	w, err := dev.PackConv(c.weight, c.bias, c.shape)
	if err != nil {
		t.Fatalf("cannot pack: %v", err)
	}
	if w.Shape() != c.shape {
		t.Fatalf("packed shape is %+v, want %+v", w.Shape(), c.shape)
	}
	return w
}

// volume views a matrix of voxels as frames of the case's size.
func (c *convCase) volume(m compute.Mat, frames int) compute.Volume {
	return compute.Volume{Mat: m, T: frames, H: c.h, W: c.w}
}

// run computes the convolution on a device and returns the output, [voxels, out]. The first frames
// are passed as Prev and the others as x, from memory of their own, as in a stream.
func (c *convCase) run(t fataler, dev compute.Device) []float32 {
	t.Helper()
	r := c.on(t, dev)
	frame, in := c.h*c.w, c.shape.In
	split := c.prev * frame * in
	args := compute.ConvArgs{FrontPad: c.front, StrideT: c.strideT, Upsample: c.up,
		Downsample: c.down}
	if c.normed {
		args.Norm = &compute.ChannelNorm{Gain: r.vector(c.gain), Act: c.act}
	}

	// A call before has normed the frames of Prev, with the device's own norm.
	if c.prev > 0 {
		p := c.volume(r.place(c.x[:split], c.prev*frame, in), c.prev)
		args.Prev = &p
		if n := args.Norm; n != nil {
			dev.ChannelNorm(p.Mat, p.Mat, n.Gain, n.Act)
		}
	}

	dst := r.fresh(c.rows(), c.shape.Out)
	if c.residual != nil {
		m := r.place(c.residual, c.rows(), c.shape.Out)
		args.Residual = &m
		if c.inPlace {
			dst = m
		}
	}

	x := c.volume(r.place(c.x[split:], c.t*frame, in), c.t)

	// Half of the time the device has to do with exactly the memory that it asks for.
	if n := int(dev.ConvBytes(x, c.shape, args)); n > 0 && c.inPlace {
		args.Work = r.fresh(1, n/4).Mem
	}
	ot, oh, ow := c.out()
	dev.Conv(compute.Volume{Mat: dst, T: ot, H: oh, W: ow}, x, c.pack(t, dev), args)
	return r.take(dst, 0, c.rows())
}

// at is channel ch of voxel (f, h, w) of the padded, doubled input; frame 0 is the first zero
// frame. Outside of the frame there are zeros on all sides, in time only at the front: a causal
// convolution sees no later frame.
func (c *convCase) at(f, h, w, ch int) float64 {
	high, wide := c.scaled()
	f -= c.front
	if f < 0 || h < 0 || h >= high || w < 0 || w >= wide {
		return 0
	}
	if c.up {
		h, w = h/2, w/2
	}
	return c.value(((f*c.h+h)*c.w+w)*c.shape.In, ch)
}

// value is channel ch of the voxel at an element of x, as products see it.
func (c *convCase) value(voxel, ch int) float64 {
	y := float64(c.x[voxel+ch])
	if c.normed {
		gain := 1.0
		if c.gain != nil {
			gain = float64(c.gain[ch])
		}
		y = reference(y*c.scale(voxel)*gain, c.act)
	}
	if c.dtype == compute.BF16 {
		return rounded(float32(y), c.dtype)
	}
	return y
}

// scale is what the norm multiplies the channels of the voxel at an element of x by.
func (c *convCase) scale(voxel int) float64 {
	s := 0.0
	for _, v := range c.x[voxel : voxel+c.shape.In] {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(float64(c.shape.In)) / max(math.Sqrt(s), 1e-12)
}

// want is the reference's output. The residual is added last, after the bias and all taps.
func (c *convCase) want() []float64 {
	_, oh, ow := c.out()
	out := make([]float64, c.rows()*c.shape.Out)
	for i := range out {
		row, o := i/c.shape.Out, i%c.shape.Out
		out[i] = c.voxel(o, row/(oh*ow), row/ow%oh, row%ow)
		if c.residual != nil {
			out[i] += float64(c.residual[i])
		}
	}
	return out
}

// voxel is output channel o at (t, h, w), by the definition: the bias, then every tap of every
// channel.
func (c *convCase) voxel(o, t, h, w int) float64 {
	s, y := c.shape, 0.0
	if c.bias != nil {
		y = float64(c.bias[o])
	}

	t *= max(c.strideT, 1)
	if c.down {
		h, w = 2*h+s.KH/2, 2*w+s.KW/2
	}

	for ch := range s.In {
		for kt := range s.KT {
			for kh := range s.KH {
				for kw := range s.KW {
					weight := c.weight[(((o*s.In+ch)*s.KT+kt)*s.KH+kh)*s.KW+kw]
					y += rounded(weight, c.dtype) * c.at(t+kt, h+kh-s.KH/2, w+kw-s.KW/2, ch)
				}
			}
		}
	}
	return y
}

// conv checks convolutions against the reference, and that any number of threads gives the same
// bits. Rows read each other here, so there is neither a range of rows to compute alone nor a row
// to poison.
func (s *suite) conv(t *testing.T) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawConv(t)
		c.dtype = s.convs
		got := c.run(t, devs[0])
		close(t, got, c.want(), s.convTol)
		if g, is := devs[0].(interface{ Threads() int }); is && g.Threads() == 0 {
			return // a GPU: all three would do the same
		}
		for i, dev := range devs[1:] {
			same(t, c.run(t, dev), got, "%d threads against 1", i+2)
		}
	})
}

// convFrames checks that a causal convolution over all frames at once and frame by frame with the
// frames before as Prev give the same bits: the VAE decodes as a stream, in pieces of any length. A
// device that sums the taps in another order where frames come from Prev would make the clip depend
// on how it was cut.
func (s *suite) convFrames(t *testing.T) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawConv(t)
		c.prev, c.t = 0, rapid.IntRange(1, 5).Draw(t, "frames")
		c.front, c.strideT, c.residual = c.shape.KT-1, 1, nil
		c.fill(drawNumbers(t))
		dev := rapid.SampledFrom(devs).Draw(t, "device")
		whole := c.run(t, dev)

		// Frame f alone, with as many frames before it as the kernel reaches back.
		_, oh, ow := c.out()
		frame := c.h * c.w * c.shape.In
		for f := range c.t {
			part := *c
			part.t, part.prev = 1, min(f, c.shape.KT-1)
			part.front = c.shape.KT - 1 - part.prev
			part.x = c.x[(f-part.prev)*frame : (f+1)*frame]
			want := whole[f*oh*ow*c.shape.Out : (f+1)*oh*ow*c.shape.Out]
			same(t, part.run(t, dev), want, "frame %d alone", f)
		}
	})
}
