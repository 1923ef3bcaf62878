package vae

import (
	"errors"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// Stream decodes one clip, or a band of it, latent frame by latent frame. It belongs to one
// goroutine.
type Stream struct {
	d      *Decoder        // shared with other streams
	h, w   int             // of the latent
	rows   partition.Range // of the latent, to decode
	from   int             // the first latent frame whose frames are wanted
	warmUp warmUp          // when each layer begins
	t      int             // the next latent frame
	inputs [][]float32     // latent frames so far, to decode them again with narrower bands

	stop      func() error   // see StopWhen
	metered   bool           // on a compute.Meter: there are no frames to return
	bufs      *buffers       // shared by trunk and bands
	trunk     runner         // up to the middle block
	middleOut compute.Volume // the middle block's output, where several bands begin with it
	bands     []*band        // decoded in turn; one, unless memory is short
}

// NewStream prepares decoding of whole latent frames of height h and width w, in latent rows and
// columns. Free the stream after use, whatever happens.
func (d *Decoder) NewStream(h, w int) (*Stream, error) {
	return d.NewBand(h, w, partition.Range{Lo: 0, Hi: h})
}

// NewBand prepares decoding of the given rows of latent frames of height h and width w. Pixels have
// the bits that they have in the whole frame. It allocates nothing yet; rows outside the latent are
// an error.
func (d *Decoder) NewBand(h, w int, rows partition.Range) (*Stream, error) {
	if h < 1 || w < 1 || rows.Lo < 0 || rows.Len() < 1 || rows.Hi > h {
		return nil, fmt.Errorf("cannot decode rows [%d, %d) of a latent of %d x %d", rows.Lo, rows.Hi,
			h, w)
	}
	s := &Stream{d: d, h: h, w: w, rows: rows, warmUp: d.warmUp()}
	s.reset(1)
	return s, nil
}

// From has the stream return the frames of latent frame n and those after it only, with the bits
// that they have in the whole clip. It returns the latent frame that Next has to begin with: the
// ones before n warm the caches up, each layer's as late as possible, and give no frames. It may be
// called once, before the first Next.
func (s *Stream) From(n int) (first int) {
	s.from = n
	s.t = s.first()
	return s.t
}

// first returns the latent frame that the trunk begins with.
func (s *Stream) first() int { return max(0, s.from-s.warmUp.trunk) }

// reset starts again with empty caches, and the rows cut into a number of bands.
func (s *Stream) reset(bands int) {
	s.bufs = &buffers{dev: s.d.dev, stop: s.stop}
	s.trunk = newRunner(s.d.dev, s.bufs, s.d.caches)
	s.middleOut, s.bands = compute.Volume{}, nil
	for _, r := range partition.Even(s.rows.Len(), bands) {
		r = partition.Range{Lo: s.rows.Lo + r.Lo, Hi: s.rows.Lo + r.Hi}
		f := newRunner(s.d.dev, s.bufs, s.d.caches)
		s.bands = append(s.bands, &band{runner: f, reads: s.d.reads(s.h, r),
			hostCaches: make([][]float32, s.d.caches)})
	}
}

// Free gives the device's memory back. A stream that was freed may not be used.
func (s *Stream) Free() {
	s.bufs.free()
	s.trunk.arena.Free()
	for _, b := range s.bands {
		b.arena.Free()
	}
}

// Size returns the height and width in pixels of the frames that Next returns.
func (s *Stream) Size() (h, w int) {
	scale := s.d.cfg.SpatialScale()
	return s.rows.Len() * scale, s.w * scale
}

// StopWhen sets a function that is called before each layer, since a large frame takes seconds.
// Once it returns an error, so does Next; after that only Free is left.
func (s *Stream) StopWhen(stop func() error) { s.stop, s.bufs.stop = stop, stop }

// Bands returns the number of bands that a frame is decoded in: 1, or more if the device had too
// little memory for that.
func (s *Stream) Bands() int { return len(s.bands) }

// Next decodes the next latent frame z [C, h, w], normalised as the transformer made it, into
// frames [H, W, 3] of the stream's Size, values in -1..1: one frame for the clip's first latent, 4
// (the temporal scale) for each later one, none for those before the one given to From.
//
// If the device has too little memory (compute.ErrMemory), the clip so far is decoded again in
// narrower bands, one after the other, down to one row of the latent. A value that is NaN or
// infinite is a *tensor.NotFiniteError. After an error of the device only Free is left.
func (s *Stream) Next(z []float32) ([][]float32, error) {
	c, n := s.d.cfg.ZDim, s.h*s.w
	if len(z) != c*n {
		return nil, fmt.Errorf("cannot decode %d values as a latent of %d x %d x %d", len(z), c, s.h, s.w)
	}

	out, err := s.decode(z)
	for errors.Is(err, compute.ErrMemory) && s.splitBands() {
		out, err = s.replay(z)
	}

	if err != nil {
		return nil, fmt.Errorf("cannot decode a frame: %w", err)
	}

	// Once nothing more is allocated, there is no need to decode again.
	if s.t++; s.allocated() {
		s.inputs = nil
	} else {
		s.inputs = append(s.inputs, slices.Clone(z))
	}
	return out, nil
}

// allocated reports whether every layer has seen what makes it allocate most, a latent frame other
// than the clip's first. From then on memory cannot run out.
func (s *Stream) allocated() bool {
	last := s.warmUp.steps[len(s.warmUp.steps)-1]
	return s.t > max(1, s.from-last)
}

// Bytes returns the bytes of the device that decoding takes from the third latent frame on, or from
// the last of fewer frames: after that nothing more is allocated. Weights do not count.
func (s *Stream) Bytes(frames int) (int64, error) {
	m := &compute.Meter{Like: s.d.dev}
	_, err := s.onMeter(m, frames)
	return m.Peak(), err
}

// onMeter decodes up to three latent frames on a Meter, as many as there are, and returns the
// buffers that this takes.
func (s *Stream) onMeter(m *compute.Meter, frames int) (*buffers, error) {
	dry, err := s.d.On(m).NewBand(s.h, s.w, s.rows)
	if err != nil {
		return nil, err
	}
	dry.metered = true
	dry.reset(len(s.bands))
	z := make([]float32, s.d.cfg.ZDim*s.h*s.w)
	for range min(frames, 3) {
		if _, err := dry.decode(z); err != nil {
			return nil, err
		}
		dry.t++
	}
	return dry.bufs, nil
}

// Reserve allocates the buffers that a clip of so many latent frames needs, before the first Next.
// Otherwise they grow from layer to layer, and what was too small is garbage for a while. A device
// without the memory gives none: Next then makes do with what there is.
func (s *Stream) Reserve(frames int) error {
	sizes, err := s.onMeter(&compute.Meter{Like: s.d.dev}, frames)
	if err != nil {
		return err
	}

	for i, m := range sizes.mem {
		if m == nil {
			continue
		}
		if s.bufs.mem[i], err = s.d.dev.Alloc(m.Len()); err != nil {
			s.bufs.mem[i] = nil
			s.bufs.free()
			break
		}
	}
	if errors.Is(err, compute.ErrMemory) {
		return nil
	}
	return err
}

// splitBands doubles the number of bands and forgets what was decoded. It reports false where that
// cannot help: bands have one row, or memory is allocated already.
func (s *Stream) splitBands() bool {
	if s.allocated() || len(s.bands) == s.rows.Len() {
		return false
	}
	s.Free()
	s.reset(min(2*len(s.bands), s.rows.Len()))
	return true
}

// replay decodes z after decoding all inputs before it again, without returning their frames.
func (s *Stream) replay(z []float32) ([][]float32, error) {
	now := s.t
	defer func() { s.t = now }()
	s.t = s.first()
	for _, old := range s.inputs {
		if _, err := s.decode(old); err != nil {
			return nil, err
		}
		s.t++
	}
	return s.decode(z)
}

// decode runs the decoder proper (WanDecoder3d) on one latent frame, band by band, as far as the
// latent frame is due.
func (s *Stream) decode(z []float32) ([][]float32, error) {
	x, err := s.throughMiddle(z)
	if err != nil {
		return nil, err
	}

	due := s.warmUp.stepsDue(s.t, s.from)
	if due == 0 {
		return nil, nil
	}

	var out [][]float32
	for _, b := range s.bands {
		b.stepsDue = due
		y, err := s.afterMiddle(b, x)
		if err != nil {
			return nil, err
		}

		if s.metered {
			continue
		}
		if out == nil && s.t >= s.from {
			out = s.frames(y.T)
		}
		if err := s.download(out, y, b); err != nil {
			return nil, err
		}

		// Only one band's caches fit on the device at a time.
		if len(s.bands) > 1 {
			if err := b.offload(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// throughMiddle runs the layers that see the whole frame: post_quant_conv, conv_in and the middle
// block, z [C, h, w] to [h·w, dim].
func (s *Stream) throughMiddle(z []float32) (compute.Volume, error) {
	d, f := s.d, &s.trunk
	x := s.bufs.volume(1, s.h, s.w, d.cfg.ZDim)
	quant := s.bufs.like(x, d.cfg.ZDim)
	y := s.bufs.like(x, d.convIn.conv.Shape().Out, quant)

	if f.failed() {
		return y, f.err()
	}

	d.dev.Upload(x.Mat, s.channelsLast(z))
	d.dev.Linear(quant.Mat, x.Mat, d.postQuant, compute.Epilogue{})
	f.causal(y, quant, d.convIn, nil, nil)
	y = f.middle(y, &d.mid)
	if len(s.bands) == 1 || f.failed() {
		return y, f.err()
	}

	// The buffers are the bands' next, so what all of them begin with is kept apart.
	if s.middleOut.T == 0 {
		s.middleOut = compute.Volume{Mat: f.arena.Mat(y.Rows, y.Cols), T: 1, H: s.h, W: s.w}
	}
	if !f.failed() {
		d.dev.Copy(s.middleOut.Mat, y.Mat)
	}
	return s.middleOut, f.err()
}

// afterMiddle runs the up-blocks and the output on one band, as far as it is due, [h·w, dim] to
// [T·H·W, 3·patch²] with the rows read around the band. The first latent frame stays one frame:
// time is doubled from the second on.
func (s *Stream) afterMiddle(b *band, x compute.Volume) (compute.Volume, error) {
	d := s.d
	b.step, b.lo = 0, 0
	if len(s.bands) > 1 { // x is the others' too
		b.reload()
		y := s.bufs.like(x, x.Cols)
		if !b.failed() {
			d.dev.Copy(y.Mat, x.Mat)
		}
		x = y
	}

	for i := range d.ups {
		x = b.up(x, &d.ups[i], s.t > 0)
	}
	if b.stopsHere() {
		return x, b.err()
	}

	x = b.crop(x)
	out := s.bufs.like(x, d.cfg.OutChannels)
	b.causal(out, x, d.convOut, &compute.ChannelNorm{Gain: d.normOut, Act: compute.SiLU}, nil)
	return out, b.err()
}

// channelsLast transposes z [C, h, w] to [h·w, C] and undoes the normalisation: z·std + mean.
func (s *Stream) channelsLast(z []float32) []float32 {
	c, n := s.d.cfg.ZDim, s.h*s.w
	out := make([]float32, c*n)

	// Each channel has statistics of its own.
	for ch := range c {
		std, mean := float32(s.d.cfg.LatentsStd[ch]), float32(s.d.cfg.LatentsMean[ch])
		for i := range n {
			out[i*c+ch] = float32(z[ch*n+i]*std) + mean
		}
	}
	return out
}

// frames allocates t frames of the stream's size on the host.
func (s *Stream) frames(t int) [][]float32 {
	h, w := s.Size()
	out := make([][]float32, t)
	for i := range out {
		out[i] = make([]float32, h*w*colours)
	}
	return out
}

// download copies a band's own rows of x [T·H·W, 3·patch²] to their place in the frames out,
// clamped to -1..1. Values are checked first, since clamping would hide an infinity.
func (s *Stream) download(out [][]float32, x compute.Volume, b *band) error {
	r := b.reads[len(b.reads)-1]
	line := x.W * x.Cols
	first := s.rows.Lo * s.d.scale()

	for t := range out {
		dst := out[t][(r.Lo-first)*line : (r.Hi-first)*line]
		lo := t*x.H + r.Lo - b.lo
		if err := s.d.dev.Download(dst, x.RowRange(lo*x.W, (lo+r.Len())*x.W)); err != nil {
			return err
		}
		copy(dst, pixels(dst, x.W, s.d.cfg.Patch))
		if err := tensor.CheckFinite("the decoded frame", dst); err != nil {
			return err
		}

		// The decoder's last step, as AutoencoderKLWan._decode has it.
		for i, v := range dst {
			dst[i] = min(max(v, -1), 1)
		}
	}
	return nil
}
