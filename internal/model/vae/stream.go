package vae

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// history is how many frames a causal convolution looks back.
const history = 2

// Stream decodes one clip, latent frame by latent frame. It belongs to one goroutine.
type Stream struct {
	d      *Decoder
	h, w   int              // of the latent
	caches []compute.Volume // per causal convolution, the last two input frames
	keep   *model.Arena     // the caches
	work   *model.Arena     // this frame's activations
	first  bool
}

// NewStream prepares decoding of latents of height h and width w.
func (d *Decoder) NewStream(h, w int) (*Stream, error) {
	if h < 1 || w < 1 {
		return nil, fmt.Errorf("cannot decode a latent of %d x %d", h, w)
	}
	return &Stream{d: d, h: h, w: w, first: true, keep: model.NewArena(d.dev),
		caches: make([]compute.Volume, d.convs)}, nil
}

// Free gives the device's memory back.
func (s *Stream) Free() { s.keep.Free() }

// Size returns the height and width of a frame in pixels.
func (s *Stream) Size() (h, w int) {
	scale := 1 << (len(s.d.cfg.DimMult) - 1)
	return s.h * scale, s.w * scale
}

// Next decodes the next latent frame z [C, h, w], normalised as the transformer made it, into
// frames [H, W, 3] each, values in -1..1: one frame for the first latent, 4 (the temporal scale)
// for each later one.
func (s *Stream) Next(z []float32) ([][]float32, error) {
	c, n := s.d.cfg.ZDim, s.h*s.w
	if len(z) != c*n {
		return nil, fmt.Errorf("cannot decode %d values as a latent of %d x %d x %d", len(z), c, s.h, s.w)
	}
	s.work = model.NewArena(s.d.dev)
	defer s.work.Free()
	x := s.volume(1, s.h, s.w, c)
	quant := s.volume(1, s.h, s.w, c)
	if err := s.work.Err(); err != nil {
		return nil, fmt.Errorf("cannot decode a frame: %w", err)
	}
	s.d.dev.Upload(x.Mat, s.channelsLast(z))
	s.d.dev.Linear(quant.Mat, x.Mat, s.d.postQuant, compute.Epilogue{})
	out, err := s.forward(quant)
	if err != nil {
		return nil, fmt.Errorf("cannot decode a frame: %w", err)
	}
	s.first = false
	return s.frames(out)
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

// frames downloads [T·H·W, 3] as T frames clamped to -1..1.
func (s *Stream) frames(x compute.Volume) ([][]float32, error) {
	size := x.H * x.W * x.Cols
	all := make([]float32, x.T*size)
	if err := s.d.dev.Download(all, x.Mat); err != nil {
		return nil, fmt.Errorf("cannot decode a frame: %w", err)
	}
	for i, v := range all {
		all[i] = min(max(v, -1), 1)
	}
	out := make([][]float32, x.T)
	for t := range out {
		out[t] = all[t*size : (t+1)*size]
	}
	return out, nil
}

// volume allocates activations of this frame.
func (s *Stream) volume(t, h, w, c int) compute.Volume {
	return compute.Volume{Mat: s.work.Mat(t*h*w, c), T: t, H: h, W: w}
}

// like allocates activations of x's extent with c channels.
func (s *Stream) like(x compute.Volume, c int) compute.Volume { return s.volume(x.T, x.H, x.W, c) }

// forward runs the decoder proper on one latent frame (WanDecoder3d).
func (s *Stream) forward(x compute.Volume) (compute.Volume, error) {
	d := s.d
	x = s.causal(x, causal{d.convIn, 0}, nil)
	x = s.residual(x, &d.mid[0])
	x = s.attention(x, &d.attn)
	x = s.residual(x, &d.mid[1])
	for i := range d.ups {
		x = s.up(x, &d.ups[i])
		if err := s.work.Err(); err != nil {
			return x, err
		}
	}
	d.dev.ChannelNorm(x.Mat, x.Mat, d.normOut, compute.SiLU)
	x = s.causal(x, causal{d.convOut, d.convs - 1}, nil)
	return x, s.err()
}

func (s *Stream) err() error {
	if err := s.keep.Err(); err != nil {
		return err
	}
	return s.work.Err()
}

// failed reports that memory ran out: operations stop, forward returns the error.
func (s *Stream) failed() bool { return s.err() != nil }

// causal convolves x, preceded by the frames cached from earlier calls (zeros at the start), and
// caches x's last ones.
func (s *Stream) causal(x compute.Volume, c causal, residual *compute.Mat) compute.Volume {
	out := s.like(x, c.conv.Shape().Out)
	cache := s.cache(c.cache, x)
	if s.failed() {
		return out
	}
	s.d.dev.Conv(out, x, c.conv, compute.ConvArgs{Prev: &cache, Residual: residual})
	s.remember(cache, x)
	return out
}

// cache returns convolution i's history, zeros the first time.
func (s *Stream) cache(i int, x compute.Volume) compute.Volume {
	if s.caches[i].T == 0 {
		s.caches[i] = compute.Volume{Mat: s.keep.Mat(history*x.H*x.W, x.Cols), T: history, H: x.H, W: x.W}
	}
	return s.caches[i]
}

// remember moves x's last frames into a cache.
func (s *Stream) remember(cache, x compute.Volume) {
	n := x.H * x.W
	if x.T == 1 {
		s.d.dev.Copy(cache.RowRange(0, n), cache.RowRange(n, 2*n))
		s.d.dev.Copy(cache.RowRange(n, 2*n), x.Mat)
		return
	}
	s.d.dev.Copy(cache.Mat, x.RowRange((x.T-history)*n, x.T*n))
}

func (s *Stream) residual(x compute.Volume, r *residual) compute.Volume {
	norm, short := s.like(x, r.in), x
	if r.shortcut != nil {
		short = s.like(x, r.out)
	}
	if s.failed() {
		return short
	}
	if r.shortcut != nil {
		s.d.dev.Linear(short.Mat, x.Mat, r.shortcut, compute.Epilogue{})
	}
	s.d.dev.ChannelNorm(norm.Mat, x.Mat, r.norm1, compute.SiLU)
	h := s.causal(norm, r.conv1, nil)
	if s.failed() {
		return h
	}
	s.d.dev.ChannelNorm(h.Mat, h.Mat, r.norm2, compute.SiLU)
	return s.causal(h, r.conv2, &short.Mat)
}

// attention lets the pixels of each frame attend to each other.
func (s *Stream) attention(x compute.Volume, a *attention) compute.Volume {
	norm, qkv, o := s.like(x, a.dim), s.like(x, 3*a.dim), s.like(x, a.dim)
	if s.failed() {
		return x
	}
	dev, n := s.d.dev, x.H*x.W
	dev.ChannelNorm(norm.Mat, x.Mat, a.norm, compute.Identity)
	dev.Linear(qkv.Mat, norm.Mat, a.qkv, compute.Epilogue{})
	args := compute.AttentionArgs{Heads: 1, Scale: float32(1 / math.Sqrt(float64(a.dim)))}
	for t := range x.T {
		f := qkv.RowRange(t*n, (t+1)*n)
		dev.Attention(o.RowRange(t*n, (t+1)*n), f.ColRange(0, a.dim),
			f.ColRange(a.dim, 2*a.dim), f.ColRange(2*a.dim, 3*a.dim), args)
	}
	dev.Linear(norm.Mat, o.Mat, a.proj, compute.Epilogue{Residual: &x.Mat})
	return norm
}

// up runs a block's residuals and upsamples behind them. The first latent frame is one frame for
// good: time is doubled from the second on.
func (s *Stream) up(x compute.Volume, u *upBlock) compute.Volume {
	for i := range u.res {
		x = s.residual(x, &u.res[i])
	}
	if u.temporal != nil && !s.first {
		x = s.doubleFrames(x, u.temporal)
	}
	if u.spatial == nil {
		return x
	}
	out := s.volume(x.T, 2*x.H, 2*x.W, u.spatial.Shape().Out)
	if !s.failed() {
		s.d.dev.Conv(out, x, u.spatial, compute.ConvArgs{Upsample: true})
	}
	return out
}

// doubleFrames makes two frames of each: the convolution gives both side by side in its channels.
func (s *Stream) doubleFrames(x compute.Volume, c *causal) compute.Volume {
	n, ch := x.H*x.W, x.Cols
	pairs := s.causal(x, *c, nil) // [T·H·W, 2·C]
	out := s.volume(2*x.T, x.H, x.W, ch)
	if s.failed() {
		return out
	}
	for t := range x.T {
		src := pairs.RowRange(t*n, (t+1)*n)
		s.d.dev.Copy(out.RowRange(2*t*n, (2*t+1)*n), src.ColRange(0, ch))
		s.d.dev.Copy(out.RowRange((2*t+1)*n, (2*t+2)*n), src.ColRange(ch, 2*ch))
	}
	return out
}
