package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/tensor"
)

// convolved is a class of layers of the VAE: its weight, and the frames that it reads.
type convolved struct {
	s       compute.ConvShape
	t, h, w int // of the input
	// up and down double and halve height and width; before is the frames of the causal cache.
	up, down bool
	before   int
	residual bool // adds the block's input, as the second convolution of a residual does
}

// wanConvs are the classes of layers that take the time of Wan 2.1's VAE, in the decoder from the
// latent's resolution to the frame's, over the four frames that a latent frame becomes; then the
// encoder's way down. h and w are the latent's, base the width at full resolution, 96 in Wan.
func wanConvs(base, h, w int) []convolved {
	c := func(in, out, k int) compute.ConvShape {
		return compute.ConvShape{Out: out, In: in, KT: k, KH: 3, KW: 3}
	}
	half, whole := 2*base, 4*base
	time := compute.ConvShape{Out: 2 * whole, In: whole, KT: 3, KH: 1, KW: 1}

	return []convolved{
		{s: c(whole, whole, 3), t: 1, h: h, w: w, before: 2, residual: true},
		{s: time, t: 1, h: h, w: w, before: 2},
		{s: c(whole, half, 1), t: 2, h: h, w: w, up: true},
		{s: c(whole, whole, 3), t: 2, h: 2 * h, w: 2 * w, before: 2, residual: true},
		{s: c(half, half, 3), t: 4, h: 4 * h, w: 4 * w, before: 2, residual: true},
		{s: c(half, base, 1), t: 4, h: 4 * h, w: 4 * w, up: true},
		{s: c(base, base, 3), t: 4, h: 8 * h, w: 8 * w, before: 2, residual: true},
		{s: c(base, 3, 3), t: 4, h: 8 * h, w: 8 * w, before: 2},
		{s: c(base, base, 1), t: 4, h: 8 * h, w: 8 * w, down: true},
	}
}

// name is the item's: channels, kernel, and the frames that are read.
func (c convolved) name() string {
	name := fmt.Sprintf("conv %dto%d %dx%dx%d over %dx%dx%d", c.s.In, c.s.Out, c.s.KT, c.s.KH, c.s.KW,
		c.t, c.h, c.w)
	switch {
	case c.up:
		return name + " up"
	case c.down:
		return name + " down"
	case c.residual:
		return name + " residual"
	}
	return name
}

// args are the parameters of the convolution, but for what has to be allocated.
func (c convolved) args() compute.ConvArgs {
	return compute.ConvArgs{Upsample: c.up, Downsample: c.down}
}

// item times the layer in float32, as a clip's decoder calls it.
func (c convolved) item() item {
	x := compute.Volume{T: c.t, H: c.h, W: c.w}
	args := c.args()
	args.FrontPad = c.before // as many frames as a cache has
	// The size of the result follows from the frames that are there; zeros in front stand for those of
	// the cache, which has no memory yet.
	t, h, w := args.OutSize(c.s, x)
	args.FrontPad = 0

	taps := float64(c.s.In * c.s.KT * c.s.KH * c.s.KW)
	return item{
		name: c.name(), types: []compute.DType{compute.FP32},
		flops: 2 * float64(t*h*w) * float64(c.s.Out) * taps,
		start: func(e *env, _ compute.DType) (func() error, func(), error) {
			a := model.NewArena(e.dev)
			volume := func(t, h, w, channels int) compute.Volume {
				return compute.Volume{Mat: a.Mat(t*h*w, channels), T: t, H: h, W: w}
			}
			x, y := volume(c.t, c.h, c.w, c.s.In), volume(t, h, w, c.s.Out)

			if c.before > 0 {
				cache := volume(c.before, c.h, c.w, c.s.In)
				args.Prev = &cache
			}
			if c.residual {
				args.Residual = &y.Mat
			}

			weight, err := e.dev.PackConv(random(c.s.Out*int(taps)), random(c.s.Out), c.s)
			if err = errors.Join(err, a.Err()); err != nil {
				return nil, nil, err
			}

			e.dev.Upload(x.Mat, random(x.Rows*x.Cols))
			return func() error {
				e.dev.Conv(y, x, weight, args)
				return nil
			}, a.Free, nil
		},
	}
}

// wanVAE is the configuration of Wan 2.1's VAE. The statistics of its latents cost no time.
func wanVAE(base int) model.VAEConfig {
	c := model.VAEConfig{BaseDim: base, DecoderBaseDim: base, ZDim: 16, DimMult: []int{1, 2, 4, 4},
		NumResBlocks: 2, TemperalDownsample: []bool{false, true, true}, Patch: 1, OutChannels: 3}
	for range c.ZDim {
		c.LatentsMean, c.LatentsStd = append(c.LatentsMean, 0), append(c.LatentsStd, 1)
	}
	return c
}

// coded names an item of the VAE by the clip's frames.
func coded(what string, cfg model.VAEConfig, latents, h, w int) string {
	scale := cfg.SpatialScale()
	return fmt.Sprintf("vae %s %dx%dx%d", what, cfg.FramesBefore(latents), h*scale, w*scale)
}

// decoded is the decoding of a clip of so many latent frames of h x w, from latents to frames on
// the host, with random weights. The clip's first latent frame becomes one frame and counts as a
// quarter of another one.
func decoded(cfg model.VAEConfig, latents, h, w int) item {
	return item{
		name: coded("decode", cfg, latents, h, w), types: []compute.DType{compute.FP32}, ready: true,
		flops: cfg.DecodeWork() * float64(h*w) * (float64(latents) - 0.75),
		start: func(e *env, _ compute.DType) (func() error, func(), error) {
			d, err := vae.Load(e.dev, cfg, weightsOf("vae", cfg.Shapes()))
			if err != nil {
				return nil, nil, err
			}

			frame := random(h * w * cfg.ZDim)
			decode := func(latents int) error {
				s, err := d.NewStream(h, w)
				if err != nil {
					return err
				}
				defer s.Free()
				if err := s.Reserve(latents); err != nil {
					return err
				}

				for range latents {
					if _, err := s.Next(frame); err != nil {
						return err
					}
				}
				return nil
			}

			// The first latent frame is decoded differently from the later ones, and the second has the
			// shapes of all others: with both, all kernels are loaded and all memory is taken.
			return func() error { return decode(latents) }, func() {}, decode(2)
		},
	}
}

// encoded is the encoding of such a clip, from frames on the host to latents.
func encoded(cfg model.VAEConfig, latents, h, w int) item {
	return item{
		name: coded("encode", cfg, latents, h, w), types: []compute.DType{compute.FP32}, ready: true,
		start: func(e *env, _ compute.DType) (func() error, func(), error) {
			enc, err := vae.LoadEncoder(e.dev, cfg, weightsOf("vae", cfg.Shapes()))
			if err != nil {
				return nil, nil, err
			}

			h, w := h*cfg.SpatialScale(), w*cfg.SpatialScale()
			// The same frames again and again: the encoder reads them anew each time.
			frames := make([][]float32, cfg.TemporalScale())
			for i := range frames {
				frames[i] = random(h * w * cfg.OutChannels)
			}

			encode := func(latents int) error {
				s, err := enc.NewStream(h, w)
				if err != nil {
					return err
				}
				defer s.Free()
				for range latents {
					if _, err := s.Next(frames[:s.Group()]); err != nil {
						return err
					}
				}
				return nil
			}
			return func() error { return encode(latents) }, func() {}, encode(2)
		},
	}
}

// weightsOf returns weights of the given shapes, in float32. Values cost nothing to get wrong here,
// so tensors of one size share theirs, which keeps 14B models within the host's memory.
func weightsOf(component string, shapes model.Shapes) *model.Weights {
	tensors, values := map[string]tensor.Tensor{}, map[int][]float32{}
	for name, shape := range shapes {
		n := shape.Elements()
		if values[n] == nil {
			values[n] = random(n)
			for i := range values[n] {
				values[n][i] *= 0.02
			}
		}
		tensors[name] = tensor.FromFloat32(values[n], shape...)
	}
	return model.NewWeights(component, tensors, shapes)
}

// stored returns a weight [rows, cols] in bfloat16, as files have it.
func stored(rows, cols int) []tensor.Tensor {
	data := make([]byte, 2*rows*cols)
	for i, v := range random(rows * cols) {
		bits := uint16(math.Float32bits(v) >> 16) //nolint:gosec // the upper half
		binary.LittleEndian.PutUint16(data[2*i:], bits)
	}
	return []tensor.Tensor{{DType: tensor.BF16, Shape: tensor.Shape{rows, cols}, Data: data}}
}
