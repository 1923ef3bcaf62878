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
	d     *Decoder
	h, w  int             // of the latent
	rows  partition.Range // of the latent, to decode
	from  int             // the first latent frame whose frames are wanted
	early early
	t     int         // the latent frame that comes next
	seen  [][]float32 // those that came, as long as memory may be refused

	stop  func() error // see StopWhen
	room  *room
	trunk flow           // up to the middle block
	base  compute.Volume // what it made, where several bands start from it
	bands []*band        // decoded in turn
}

// NewStream prepares decoding of latents of height h and width w.
func (d *Decoder) NewStream(h, w int) (*Stream, error) {
	return d.NewBand(h, w, partition.Range{Lo: 0, Hi: h})
}

// NewBand prepares decoding of the given rows of latents of height h and width w. Their bits are
// those that they have in the whole frame.
func (d *Decoder) NewBand(h, w int, rows partition.Range) (*Stream, error) {
	if h < 1 || w < 1 || rows.Lo < 0 || rows.Len() < 1 || rows.Hi > h {
		return nil, fmt.Errorf("cannot decode rows [%d, %d) of a latent of %d x %d", rows.Lo, rows.Hi,
			h, w)
	}
	s := &Stream{d: d, h: h, w: w, rows: rows, early: d.early()}
	s.cut(1)
	return s, nil
}

// From has the stream give the frames of latent frame n and those after it, with the bits that
// they have in the whole clip. It returns the latent frame that Next has to begin with: the ones
// before n fill the caches, each layer's as late as that is possible, and give no frames. It is
// called before the first Next, if at all.
func (s *Stream) From(n int) (first int) {
	s.from = n
	s.t = s.first()
	return s.t
}

// first returns the latent frame that the trunk begins with.
func (s *Stream) first() int { return max(0, s.from-s.early.trunk) }

// cut starts anew with the rows cut into a number of bands.
func (s *Stream) cut(bands int) {
	s.room = &room{dev: s.d.dev, stop: s.stop}
	s.trunk = newFlow(s.d.dev, s.room, s.d.caches)
	s.base, s.bands = compute.Volume{}, nil
	for _, r := range partition.Even(s.rows.Len(), bands) {
		r = partition.Range{Lo: s.rows.Lo + r.Lo, Hi: s.rows.Lo + r.Hi}
		f := newFlow(s.d.dev, s.room, s.d.caches)
		s.bands = append(s.bands, &band{flow: f, reads: s.d.reads(s.h, r),
			parked: make([][]float32, s.d.caches)})
	}
}

// Free gives the device's memory back.
func (s *Stream) Free() {
	s.room.free()
	s.trunk.keep.Free()
	for _, b := range s.bands {
		b.keep.Free()
	}
}

// Size returns the height and width in pixels of what Next returns.
func (s *Stream) Size() (h, w int) {
	scale := s.d.cfg.SpatialScale()
	return s.rows.Len() * scale, s.w * scale
}

// StopWhen has stop asked before each layer, since a large frame takes a while. What it returns,
// unless nil, ends Next; the stream is then good for nothing but Free.
func (s *Stream) StopWhen(stop func() error) { s.stop, s.room.stop = stop, stop }

// Bands returns the number of bands that a frame is decoded in: 1, or more where the device had no
// memory for that.
func (s *Stream) Bands() int { return len(s.bands) }

// Next decodes the next latent frame z [C, h, w], normalised as the transformer made it, into
// frames [H, W, 3] of the stream's Size, values in -1..1: one frame for the first latent, 4 (the
// temporal scale) for each later one, none for those before the one that From was given. Where the
// device has too little memory (compute.ErrMemory), it decodes narrower bands one after the other,
// down to one row of the latent. A value that is NaN or infinite is a *tensor.NotFiniteError.
func (s *Stream) Next(z []float32) ([][]float32, error) {
	c, n := s.d.cfg.ZDim, s.h*s.w
	if len(z) != c*n {
		return nil, fmt.Errorf("cannot decode %d values as a latent of %d x %d x %d", len(z), c, s.h, s.w)
	}
	out, err := s.decode(z)
	for errors.Is(err, compute.ErrMemory) && s.narrow() {
		out, err = s.again(z)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decode a frame: %w", err)
	}
	if s.t++; s.settled() {
		s.seen = nil
	} else {
		s.seen = append(s.seen, slices.Clone(z))
	}
	return out, nil
}

// settled reports whether every layer has met what it is going to meet, a latent frame other than
// the clip's first: from then on nothing is allocated any more.
func (s *Stream) settled() bool {
	last := s.early.steps[len(s.early.steps)-1]
	return s.t > max(1, s.from-last)
}

// narrow halves the bands and forgets what was decoded, as long as memory is asked for.
func (s *Stream) narrow() bool {
	if s.settled() || len(s.bands) == s.rows.Len() {
		return false
	}
	s.Free()
	s.cut(min(2*len(s.bands), s.rows.Len()))
	return true
}

// again decodes z after what came before it.
func (s *Stream) again(z []float32) ([][]float32, error) {
	now := s.t
	defer func() { s.t = now }()
	s.t = s.first()
	for _, old := range s.seen {
		if _, err := s.decode(old); err != nil {
			return nil, err
		}
		s.t++
	}
	return s.decode(z)
}

// decode runs the decoder proper on one latent frame (WanDecoder3d).
func (s *Stream) decode(z []float32) ([][]float32, error) {
	x, err := s.middle(z)
	if err != nil {
		return nil, err
	}
	due := s.early.due(s.t, s.from)
	if due == 0 {
		return nil, nil
	}
	var out [][]float32
	for _, b := range s.bands {
		b.due = due
		y, err := s.behind(b, x)
		if err != nil {
			return nil, err
		}
		if out == nil && s.t >= s.from {
			out = s.frames(y.T)
		}
		if err := s.download(out, y, b); err != nil {
			return nil, err
		}
		if len(s.bands) > 1 {
			if err := b.park(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// middle runs what sees the whole frame.
func (s *Stream) middle(z []float32) (compute.Volume, error) {
	d, f := s.d, &s.trunk
	x := s.room.volume(1, s.h, s.w, d.cfg.ZDim)
	quant := s.room.like(x, d.cfg.ZDim)
	y := s.room.like(x, d.convIn.conv.Shape().Out, quant)
	if f.failed() {
		return y, f.err()
	}
	d.dev.Upload(x.Mat, s.channelsLast(z))
	d.dev.Linear(quant.Mat, x.Mat, d.postQuant, compute.Epilogue{})
	f.causal(y, quant, d.convIn, nil)
	y = f.middle(y, &d.mid)
	if len(s.bands) == 1 || f.failed() {
		return y, f.err()
	}
	if s.base.T == 0 {
		s.base = compute.Volume{Mat: f.keep.Mat(y.Rows, y.Cols), T: 1, H: s.h, W: s.w}
	}
	if !f.failed() {
		d.dev.Copy(s.base.Mat, y.Mat)
	}
	return s.base, f.err()
}

// behind runs the rest on a band, as far as it is due, with the rows that were read for it around
// it. The first latent frame is one frame for good: time is doubled from the second on.
func (s *Stream) behind(b *band, x compute.Volume) (compute.Volume, error) {
	d := s.d
	b.step, b.lo = 0, 0
	if len(s.bands) > 1 { // x is the others' too
		b.unpark()
		y := s.room.like(x, x.Cols)
		if !b.failed() {
			d.dev.Copy(y.Mat, x.Mat)
		}
		x = y
	}
	for i := range d.ups {
		x = b.up(x, &d.ups[i], s.t > 0)
	}
	if b.rests() {
		return x, b.err()
	}
	x = b.crop(x)
	out := s.room.like(x, d.cfg.OutChannels)
	if b.failed() {
		return x, b.err()
	}
	d.dev.ChannelNorm(x.Mat, x.Mat, d.normOut, compute.SiLU)
	b.causal(out, x, d.convOut, nil)
	return out, b.err()
}

// channelsLast transposes z [C, h, w] to [h·w, C] and undoes the normalisation: z·std + mean.
func (s *Stream) channelsLast(z []float32) []float32 {
	c, n := s.d.cfg.ZDim, s.h*s.w
	out := make([]float32, c*n)
	for ch := range c {
		std, mean := float32(s.d.cfg.LatentsStd[ch]), float32(s.d.cfg.LatentsMean[ch])
		for i := range n {
			out[i*c+ch] = float32(z[ch*n+i]*std) + mean
		}
	}
	return out
}

// frames makes t frames of the stream's size.
func (s *Stream) frames(t int) [][]float32 {
	h, w := s.Size()
	out := make([][]float32, t)
	for i := range out {
		out[i] = make([]float32, h*w*s.d.cfg.OutChannels)
	}
	return out
}

// download puts a band's rows of x [T·H·W, 3] where they belong, clamped to -1..1. What is not
// finite is found first: an infinity would be clamped too.
func (s *Stream) download(out [][]float32, x compute.Volume, b *band) error {
	r := b.reads[len(b.reads)-1]
	line := x.W * x.Cols
	first := s.rows.Lo * s.d.cfg.SpatialScale()
	for t := range out {
		dst := out[t][(r.Lo-first)*line : (r.Hi-first)*line]
		lo := t*x.H + r.Lo - b.lo
		if err := s.d.dev.Download(dst, x.RowRange(lo*x.W, (lo+r.Len())*x.W)); err != nil {
			return err
		}
		if err := tensor.CheckFinite("the decoded frame", dst); err != nil {
			return err
		}
		for i, v := range dst {
			dst[i] = min(max(v, -1), 1)
		}
	}
	return nil
}
