package vae

import (
	"errors"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// EncodeStream encodes one clip, group of frames by group of frames, in memory that does not grow
// with the clip. It belongs to one goroutine.
type EncodeStream struct {
	e      *Encoder      // shared with other streams
	h, w   int           // of a frame, in pixels
	t      int           // the next latent frame
	inputs [][][]float32 // groups so far, to encode them again with narrower bands

	stop     func() error   // see StopWhen
	bufs     *buffers       // shared by trunk and bands
	trunk    runner         // from the middle block on
	middleIn compute.Volume // the middle block's input, where several bands make it
	bands    []*band        // of the blocks before it, encoded in turn; one, unless memory is short
}

// NewStream prepares encoding of frames of height h and width w in pixels. Both have to be
// multiples of the spatial scale, else it is an error that says so. It allocates nothing yet.
func (e *Encoder) NewStream(h, w int) (*EncodeStream, error) {
	scale := e.cfg.SpatialScale()
	if h < scale || w < scale || h%scale != 0 || w%scale != 0 {
		return nil, fmt.Errorf("cannot encode frames of %d x %d; allowed: multiples of %d", h, w, scale)
	}
	s := &EncodeStream{e: e, h: h, w: w}
	s.reset(1)
	return s, nil
}

// reset starts again with empty caches, and the latent's rows cut into a number of bands.
func (s *EncodeStream) reset(bands int) {
	s.bufs = &buffers{dev: s.e.dev, stop: s.stop}
	s.trunk = newRunner(s.e.dev, s.bufs, s.e.caches)
	s.middleIn, s.bands = compute.Volume{}, nil
	for _, rows := range partition.Even(s.rows(), bands) {
		s.bands = append(s.bands, &band{runner: newRunner(s.e.dev, s.bufs, s.e.caches),
			reads: s.e.reads(s.h/s.e.cfg.Patch, rows), hostCaches: make([][]float32, s.e.caches)})
	}
}

// rows returns the height of the latent.
func (s *EncodeStream) rows() int { return s.h / s.e.cfg.SpatialScale() }

// Free gives the device's memory back; the stream may not be used afterwards.
func (s *EncodeStream) Free() {
	s.bufs.free()
	s.trunk.arena.Free()
	for _, b := range s.bands {
		b.arena.Free()
	}
}

// StopWhen sets a function that is called before each layer, since a large frame takes seconds.
// Once it returns an error, so does Next; after that only Free is left.
func (s *EncodeStream) StopWhen(stop func() error) { s.stop, s.bufs.stop = stop, stop }

// Bands returns the number of bands that a frame is encoded in: 1, or more if the device had too
// little memory for that.
func (s *EncodeStream) Bands() int { return len(s.bands) }

// Group returns how many frames Next takes: 1 at first, then the temporal scale, which is 4 in Wan.
func (s *EncodeStream) Group() int {
	if s.t == 0 {
		return 1
	}
	return s.e.cfg.TemporalScale()
}

// Next encodes the next Group of frames, [H, W, 3] each with values in -1..1, into one latent frame
// [C, h, w]: the mode of the posterior (AutoencoderKLWan._encode), normalised as the transformer
// takes it, (mean - latents_mean) / latents_std. A wrong number or size of frames is an error and
// changes nothing.
//
// If the device has too little memory (compute.ErrMemory), the clip so far is encoded again in
// bands of rows, one after the other, to the same bits. After an error of the device only Free is
// left.
func (s *EncodeStream) Next(frames [][]float32) ([]float32, error) {
	if len(frames) != s.Group() {
		return nil, fmt.Errorf("cannot encode %d frames at once; %d are next", len(frames), s.Group())
	}
	for _, f := range frames {
		if n := s.h * s.w * colours; len(f) != n {
			return nil, fmt.Errorf("cannot encode a frame of %d values as %d x %d", len(f), s.h, s.w)
		}
	}

	out, err := s.encode(frames)
	for errors.Is(err, compute.ErrMemory) && s.splitBands() {
		out, err = s.replay(frames)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encode frames: %w", err)
	}

	// The second group allocates most: a whole one, where the first was one frame.
	if s.t++; s.t > 1 {
		s.inputs = nil
		return out, nil
	}
	s.inputs = append(s.inputs, [][]float32{slices.Clone(frames[0])})
	return out, nil
}

// splitBands doubles the number of bands and forgets what was encoded. It reports false where that
// cannot help: bands have one row, or memory is allocated already.
func (s *EncodeStream) splitBands() bool {
	if s.t > 1 || len(s.bands) == s.rows() {
		return false
	}
	s.Free()
	s.reset(min(2*len(s.bands), s.rows()))
	return true
}

// replay encodes frames after encoding all groups before them again.
func (s *EncodeStream) replay(frames [][]float32) ([]float32, error) {
	now := s.t
	defer func() { s.t = now }()
	s.t = 0
	for _, old := range s.inputs {
		if _, err := s.encode(old); err != nil {
			return nil, err
		}
		s.t++
	}
	return s.encode(frames)
}

// encode runs the encoder proper (WanEncoder3d) and quant_conv on a group of frames.
func (s *EncodeStream) encode(frames [][]float32) ([]float32, error) {
	x, err := s.beforeMiddle(frames)
	if err != nil {
		return nil, err
	}
	if x, err = s.fromMiddle(x); err != nil {
		return nil, err
	}
	return s.normalised(x)
}

// beforeMiddle runs the blocks on a group of frames, band by band: the middle block's input
// [h·w, dim].
func (s *EncodeStream) beforeMiddle(frames [][]float32) (compute.Volume, error) {
	if len(s.bands) == 1 {
		x := s.encodeBand(s.bands[0], frames)
		return x, s.bands[0].err()
	}

	for _, b := range s.bands {
		b.reload()
		x := s.encodeBand(b, frames)
		if b.failed() {
			return x, b.err()
		}

		// The buffers are the next band's, so what the bands make is kept apart.
		if s.middleIn.T == 0 {
			m := s.trunk.arena.Mat(s.rows()*x.W, x.Cols)
			s.middleIn = compute.Volume{Mat: m, T: 1, H: s.rows(), W: x.W}
		}
		if err := s.trunk.err(); err != nil {
			return x, err
		}
		r := b.reads[len(b.reads)-1]
		s.e.dev.Copy(s.middleIn.RowRange(r.Lo*x.W, r.Hi*x.W), x.Mat)

		// Only one band's caches fit on the device at a time.
		if err := b.offload(); err != nil {
			return x, err
		}
	}
	return s.middleIn, nil
}

// encodeBand runs conv_in and the blocks on the rows of a band, as far as the latent: [h·w, dim].
func (s *EncodeStream) encodeBand(b *band, frames [][]float32) compute.Volume {
	e, r, w := s.e, b.reads[0], s.w/s.e.cfg.Patch
	b.step, b.lo = 1, r.Lo
	in := s.bufs.volume(len(frames), r.Len(), w, e.cfg.OutChannels)
	x := s.bufs.like(in, e.convIn.conv.Shape().Out)
	if b.failed() {
		return x
	}

	// Frames one below the other: [T·H·W, 3] in Wan 2.1. The rows of a place are Patch lines.
	n, line := r.Len()*w, e.cfg.Patch*s.w*colours
	for t, f := range frames {
		rows := patches(f[r.Lo*line:r.Hi*line], s.w, e.cfg.Patch)
		e.dev.Upload(in.RowRange(t*n, (t+1)*n), rows)
	}
	b.causal(x, in, e.convIn, nil, nil)

	for i := range e.downs {
		x = b.down(x, &e.downs[i], s.t == 0)
	}
	return b.crop(x)
}

// fromMiddle runs the middle block, the output and quant_conv, [h·w, dim] to the mean [h·w, C]. The
// variance is not computed: the mode of a normal distribution is its mean.
func (s *EncodeStream) fromMiddle(x compute.Volume) (compute.Volume, error) {
	e, f := s.e, &s.trunk
	x = f.middle(x, &e.mid)

	// [h·w, last] to [h·w, 2C], of which the first C rows of quant make the mean.
	both := s.bufs.like(x, 2*e.cfg.ZDim)
	mean := s.bufs.like(x, e.cfg.ZDim, both)
	if f.failed() {
		return x, f.err()
	}

	f.causal(both, x, e.convOut, &compute.ChannelNorm{Gain: e.normOut, Act: compute.SiLU}, nil)
	if !f.failed() {
		e.dev.Linear(mean.Mat, both.Mat, e.quant.Part(0, e.cfg.ZDim), compute.Epilogue{})
	}
	return mean, f.err()
}

// normalised downloads [h·w, C], transposes it to [C, h·w] and normalises each channel.
func (s *EncodeStream) normalised(x compute.Volume) ([]float32, error) {
	rows := make([]float32, x.Rows*x.Cols)
	if err := s.e.dev.Download(rows, x.Mat); err != nil {
		return nil, fmt.Errorf("cannot read the latent: %w", err)
	}
	out := make([]float32, len(rows))
	for ch := range x.Cols {
		mean, std := float32(s.e.cfg.LatentsMean[ch]), float32(s.e.cfg.LatentsStd[ch])
		for i := range x.Rows {
			out[ch*x.Rows+i] = (rows[i*x.Cols+ch] - mean) / std
		}
	}
	return out, nil
}
