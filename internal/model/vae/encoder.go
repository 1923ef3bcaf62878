package vae

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Encoder holds the packed weights of the encoder on one device. It is read-only after LoadEncoder;
// each clip is encoded by an EncodeStream of its own.
type Encoder struct {
	dev     compute.Device  // where all weights are
	cfg     model.VAEConfig // as in vae/config.json
	convIn  causal          // the channels of a frame to the first width
	downs   []downBlock     // in their order
	mid     middle          // at the latent's resolution
	normOut compute.Vector  // before convOut
	convOut causal          // to 2z channels
	quant   compute.Linear  // [2z, 2z]: the mean, then the logarithm of the variance
	caches  int             // the number of causal convolutions
}

// downBlock is the residuals of one resolution and the downsampling in space and time
// (WanResample), as a list of layers or as a WanResidualDownBlock.
type downBlock struct {
	res      []residual    // of the block's resolution
	shortcut bool          // whether the resampled input is added to the output (AvgDown3D)
	block    compute.Block // how resolution changes
	spatial  compute.Conv  // halves height and width; nil in the last block
	temporal *causal       // halves the frames; nil where time is not downsampled
}

// LoadEncoder binds the encoder's weights. The decoder's are left unread; any other missing or
// unused weight is an error that names it.
func LoadEncoder(dev compute.Device, cfg model.VAEConfig, w *model.Weights) (*Encoder, error) {
	w.IgnorePrefix("decoder.")
	w.IgnorePrefix("post_quant_conv.")
	l := &loader{Builder: model.NewBuilder(dev, w)}
	e := &Encoder{dev: dev, cfg: cfg}
	e.convIn = l.causal("encoder.conv_in")
	for i := range cfg.DimMult {
		e.downs = append(e.downs, l.downBlock(cfg, i))
	}
	e.mid = l.middle("encoder.mid_block.")
	e.normOut = l.Vector("encoder.norm_out.gamma")
	e.convOut = l.causal("encoder.conv_out")
	e.quant = l.Linear("quant_conv")
	e.caches = l.caches

	if err := l.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the VAE encoder: %w", err)
	}
	return e, nil
}

// downBlock binds block i: its residuals and, in all blocks but the last, the downsampling after
// them.
func (l *loader) downBlock(cfg model.VAEConfig, i int) downBlock {
	d := downBlock{shortcut: cfg.Residual, block: cfg.DownBlock(i)}
	for j := range cfg.NumResBlocks {
		d.res = append(d.res, l.residual(cfg.DownResidualAt(i, j)))
	}
	if i == len(cfg.DimMult)-1 {
		return d
	}

	down := cfg.DownsamplerAt(i)
	d.spatial = l.Conv(down + "resample.1")
	if cfg.TemperalDownsample[i] {
		c := l.causal(down + "time_conv")
		d.temporal = &c
	}
	return d
}

// EncodeStream encodes one clip, group of frames by group of frames, in memory that does not grow
// with the clip. It belongs to one goroutine.
type EncodeStream struct {
	runner
	e     *Encoder // shared with other streams
	h, w  int      // of a frame, in pixels
	first bool     // whether the next group is the clip's first frame
}

// NewStream prepares encoding of frames of height h and width w in pixels. Both have to be
// multiples of the spatial scale, else it is an error that says so.
func (e *Encoder) NewStream(h, w int) (*EncodeStream, error) {
	scale := e.cfg.SpatialScale()
	if h < scale || w < scale || h%scale != 0 || w%scale != 0 {
		return nil, fmt.Errorf("cannot encode frames of %d x %d; allowed: multiples of %d", h, w, scale)
	}
	return &EncodeStream{runner: newRunner(e.dev, &buffers{dev: e.dev}, e.caches), e: e, h: h, w: w,
		first: true}, nil
}

// Free gives the device's memory back; the stream may not be used afterwards.
func (s *EncodeStream) Free() {
	s.bufs.free()
	s.arena.Free()
}

// StopWhen sets a function that is called before each layer, since a large frame takes seconds.
// Once it returns an error, so does Next; after that only Free is left.
func (s *EncodeStream) StopWhen(stop func() error) { s.bufs.stop = stop }

// Group returns how many frames Next takes: 1 at first, then the temporal scale, which is 4 in Wan.
func (s *EncodeStream) Group() int {
	if s.first {
		return 1
	}
	return s.e.cfg.TemporalScale()
}

// Next encodes the next Group of frames, [H, W, 3] each with values in -1..1, into one latent frame
// [C, h, w]: the mode of the posterior (AutoencoderKLWan._encode), normalised as the transformer
// takes it, (mean - latents_mean) / latents_std. A wrong number or size of frames is an error and
// changes nothing; after an error of the device only Free is left.
func (s *EncodeStream) Next(frames [][]float32) ([]float32, error) {
	if len(frames) != s.Group() {
		return nil, fmt.Errorf("cannot encode %d frames at once; %d are next", len(frames), s.Group())
	}
	for _, f := range frames {
		if n := s.h * s.w * colours; len(f) != n {
			return nil, fmt.Errorf("cannot encode a frame of %d values as %d x %d", len(f), s.h, s.w)
		}
	}

	x, err := s.forward(frames)
	if err != nil {
		return nil, fmt.Errorf("cannot encode frames: %w", err)
	}
	s.first = false
	out, err := s.normalised(x)
	if err != nil {
		return nil, fmt.Errorf("cannot encode frames: %w", err)
	}
	return out, nil
}

// forward runs the encoder proper (WanEncoder3d) and quant_conv, frames to the mean [h·w, C]. The
// variance is not computed: the mode of a normal distribution is its mean.
func (s *EncodeStream) forward(frames [][]float32) (compute.Volume, error) {
	e, h, w := s.e, s.h/s.e.cfg.Patch, s.w/s.e.cfg.Patch
	in := s.bufs.volume(len(frames), h, w, e.cfg.OutChannels)
	x := s.bufs.like(in, e.convIn.conv.Shape().Out)
	if s.failed() {
		return x, s.err()
	}

	// Frames one below the other: [T·H·W, 3] in Wan 2.1.
	for t, f := range frames {
		s.dev.Upload(in.RowRange(t*h*w, (t+1)*h*w), patches(f, s.w, e.cfg.Patch))
	}
	s.causal(x, in, e.convIn, nil)

	for i := range e.downs {
		x = s.down(x, &e.downs[i])
	}
	x = s.middle(x, &e.mid)

	// [h·w, last] to [h·w, 2C], of which the first C rows of quant make the mean.
	both := s.bufs.like(x, 2*e.cfg.ZDim)
	mean := s.bufs.like(x, e.cfg.ZDim, both)
	if s.failed() {
		return x, s.err()
	}

	s.dev.ChannelNorm(x.Mat, x.Mat, e.normOut, compute.SiLU)
	s.causal(both, x, e.convOut, nil)
	if !s.failed() {
		s.dev.Linear(mean.Mat, both.Mat, e.quant.Part(0, e.cfg.ZDim), compute.Epilogue{})
	}
	return mean, s.err()
}

// down runs a block, [T, H, W] to [T/2, H/2, W/2], and adds its averaged input where it has a
// shortcut.
func (s *EncodeStream) down(x compute.Volume, d *downBlock) compute.Volume {
	if !d.shortcut {
		return s.downsample(x, d)
	}
	in := x
	s.bufs.kept = in
	x = s.downsample(x, d)
	s.bufs.kept = compute.Volume{}
	if !s.failed() {
		s.dev.AddMeans(x, in, d.block)
	}
	return x
}

// downsample runs a block's residuals and the downsampling after them. The clip's first frame
// stands alone, so time is halved from the second group on; the temporal convolution then also sees
// the last frame of the group before.
func (s *EncodeStream) downsample(x compute.Volume, d *downBlock) compute.Volume {
	for i := range d.res {
		x = s.residual(x, &d.res[i])
	}
	if d.spatial == nil {
		return x
	}

	small := s.bufs.volume(x.T, x.H/2, x.W/2, x.Cols, x)
	if s.failed() {
		return x
	}
	s.dev.Conv(small, x, d.spatial, compute.ConvArgs{Downsample: true})

	if d.temporal == nil {
		return small
	}

	cache, out := s.cache(d.temporal.cache, 1, small), small
	if !s.first {
		out = s.bufs.volume(small.T/2, small.H, small.W, small.Cols, small)
	}
	if s.failed() {
		return x
	}
	if !s.first {
		s.dev.Conv(out, small, d.temporal.conv, compute.ConvArgs{Prev: &cache, StrideT: 2})
	}
	s.remember(cache, small)
	return out
}

// normalised downloads [h·w, C], transposes it to [C, h·w] and normalises each channel.
func (s *EncodeStream) normalised(x compute.Volume) ([]float32, error) {
	rows := make([]float32, x.Rows*x.Cols)
	if err := s.dev.Download(rows, x.Mat); err != nil {
		return nil, err
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
