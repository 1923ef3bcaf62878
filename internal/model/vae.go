package model

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

// VAEConfig is the configuration of diffusers' AutoencoderKLWan.
type VAEConfig struct {
	BaseDim            int       // width of the encoder at full resolution
	DecoderBaseDim     int       // that of the decoder; 0: as BaseDim
	ZDim               int       // channels of the latent
	DimMult            []int     // width of each of the encoder's blocks, in BaseDim
	NumResBlocks       int       // residuals in a block of the encoder; the decoder has one more
	TemperalDownsample []bool    // of the encoder's blocks, in their order; diffusers' spelling
	Residual           bool      // blocks are Wan 2.2's: each adds its resampled input to its output
	Patch              int       // a place of the blocks is Patch x Patch pixels; 1 in Wan 2.1
	OutChannels        int       // what a place of a frame has: red, green and blue of its pixels
	LatentsMean        []float64 // [ZDim]; the transformer sees (z - mean) / std
	LatentsStd         []float64 // [ZDim]
}

// TemporalUpsample reports whether the decoder's block i doubles the frames: the decoder undoes the
// encoder in reverse.
func (c VAEConfig) TemporalUpsample(i int) bool {
	return c.TemperalDownsample[len(c.TemperalDownsample)-1-i]
}

// SpatialScale returns the pixels for each latent row or column: 8 in Wan 2.1, as every block but
// the last halves them, and 16 in Wan 2.2's, whose blocks see patches.
func (c VAEConfig) SpatialScale() int { return c.Patch << (len(c.DimMult) - 1) }

// TemporalScale returns the frames for each latent frame after the first: 4 in Wan, whose VAE
// halves time twice.
func (c VAEConfig) TemporalScale() int {
	scale := 1
	for _, down := range c.TemperalDownsample {
		if down {
			scale *= 2
		}
	}
	return scale
}

// LatentFrames returns how many latent frames a clip of so many frames, at least one, has: the
// first latent frame stands for a single frame, each later one for TemporalScale frames.
func (c VAEConfig) LatentFrames(frames int) int { return (frames-1)/c.TemporalScale() + 1 }

// FramesBefore returns how many frames the latent frames [0, latent) decode to. With the number of
// all latent frames it is the length of the clip.
func (c VAEConfig) FramesBefore(latent int) int {
	if latent == 0 {
		return 0
	}
	return 1 + (latent-1)*c.TemporalScale()
}

// DecodeWork estimates the multiplications and additions that decoding takes for each position of a
// latent frame, of any but the first. It counts convolutions and the products of the attention; the
// scheduler compares it with the work of denoising.
func (c VAEConfig) DecodeWork() float64 {
	dims := c.decoderDims()
	residual := func(in, out int) int {
		n := 27 * (in*out + out*out) // two convolutions of 3 x 3 x 3
		if in != out {
			n += in * out // the shortcut
		}
		return n
	}

	// Behind conv_in and in the middle block: two residuals, and attention's four pointwise
	// products.
	each := 27*c.ZDim*dims[0] + 2*residual(dims[0], dims[0]) + 4*dims[0]*dims[0]
	scale := 1 // pixels, over all frames, that a position has become
	for i, in := range dims[:len(dims)-1] {
		out := dims[i+1]
		if i > 0 {
			in = c.Upsampled(in)
		}
		for range c.NumResBlocks + 1 {
			each += scale * residual(in, out)
			in = out
		}
		if i == len(dims)-2 {
			break
		}

		// The temporal convolution doubles the channels, which become twice the frames; then height
		// and width double, and the channels halve in Wan 2.1.
		if c.TemporalUpsample(i) {
			each += scale * 3 * out * 2 * out
			scale *= 2
		}
		scale *= 4
		each += scale * 9 * out * c.Upsampled(out)
	}

	return 2 * float64(each+scale*27*dims[len(dims)-1]*c.OutChannels)
}

// readVAE reads vae/config.json, with the defaults of AutoencoderKLWan's constructor.
func readVAE(s *settings) VAEConfig {
	s.must("_class_name", `"AutoencoderKLWan"`)
	c := VAEConfig{
		BaseDim:      s.int("base_dim", 96, 1, 1<<12),
		ZDim:         s.int("z_dim", 16, 1, countLimit),
		NumResBlocks: s.int("num_res_blocks", 2, 1, 64),
		Residual:     s.bool("is_residual", false),
		Patch:        s.intOr("patch_size", 1, 1, 1, 4),
	}
	c.OutChannels = 3 * c.Patch * c.Patch
	c.DecoderBaseDim = s.intOr("decoder_base_dim", c.BaseDim, c.BaseDim, 1, 1<<12)

	// The length of dim_mult decides how long the other lists have to be, so it comes first.
	mult := []whole{1, 2, 4, 4}
	s.given("dim_mult", &mult, "a list of numbers")
	if len(mult) < 2 || len(mult) > 6 {
		s.fail("dim_mult", "2 to 6 values")
		return c
	}
	c.DimMult = wholes(s, "dim_mult", []whole{1, 2, 4, 4}, len(mult), 1, 64)
	c.TemperalDownsample = list(s, "temperal_downsample", []bool{false, true, true},
		len(c.DimMult)-1, func(bool) bool { return true }, "one less than dim_mult has")

	c.LatentsMean = list(s, "latents_mean", wanMean, c.ZDim,
		func(float64) bool { return true }, "one for each of z_dim")
	c.LatentsStd = list(s, "latents_std", wanStd, c.ZDim,
		func(x float64) bool { return x > 0 }, "one above 0 for each of z_dim")
	c.check(s)
	return c
}

// check refuses what AutoencoderKLWan can do and package vae cannot, attention at further
// resolutions, and what neither can.
func (c VAEConfig) check(s *settings) {
	s.must("attn_scales", "[]")

	// An absent key means three channels.
	for _, key := range []string{"in_channels", "out_channels"} {
		s.must(key, fmt.Sprint(c.OutChannels))
		if s.raw[key] == nil && c.OutChannels != 3 {
			s.fail(key, fmt.Sprint(c.OutChannels))
		}
	}

	s.must("scale_factor_spatial", fmt.Sprint(c.SpatialScale()), "null")
	s.must("scale_factor_temporal", fmt.Sprint(c.TemporalScale()), "null")
	s.skip("dropout", "torch_dtype", "dtype")
	if len(c.TemperalDownsample) != len(c.DimMult)-1 {
		s.fail("temperal_downsample", "one value less than dim_mult has")
	}
	if len(c.LatentsMean) != c.ZDim || len(c.LatentsStd) != c.ZDim {
		s.fail("z_dim", "16, unless latents_mean and latents_std are given")
	}
	if s.err == nil && c.Residual && !c.shortcutsFit() {
		s.fail("dim_mult", "widths that shortcuts can make by averaging or repeating whole values")
	}
}

// Statistics of the latents of Wan 2.1's VAE, which its configuration may leave out.
var (
	wanMean = []float64{-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
		0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921}
	wanStd = []float64{2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
		3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160}
)

// encoderDims lists the encoder's widths: before its first block, then after each.
func (c VAEConfig) encoderDims() []int {
	dims := []int{c.BaseDim}
	for _, m := range c.DimMult {
		dims = append(dims, c.BaseDim*m)
	}
	return dims
}

// shortcutsFit reports whether each block's input can be brought to the width and resolution of its
// output: whole numbers of values have to be averaged or repeated.
func (c VAEConfig) shortcutsFit() bool {
	enc, dec := c.encoderDims(), c.decoderDims()
	for i := range c.DimMult {
		block := c.DownBlock(i)
		if enc[i]*block.Voxels()%enc[i+1] != 0 {
			return false
		}
		if i == len(c.DimMult)-1 {
			break // the decoder's last block has no shortcut
		}
		if up := c.UpBlock(i); dec[i+1]*up.Voxels()%dec[i] != 0 {
			return false
		}
	}
	return true
}

// DownBlock returns how the encoder's block i changes resolution.
func (c VAEConfig) DownBlock(i int) compute.Block {
	if i == len(c.DimMult)-1 {
		return compute.Block{Frames: 1, Side: 1}
	}
	return resampled(c.TemperalDownsample[i])
}

// UpBlock returns how the decoder's block i, which is not the last, changes resolution.
func (c VAEConfig) UpBlock(i int) compute.Block { return resampled(c.TemporalUpsample(i)) }

// resampled is the block of a change of height and width, and maybe of time.
func resampled(time bool) compute.Block {
	if time {
		return compute.Block{Frames: 2, Side: 2}
	}
	return compute.Block{Frames: 1, Side: 2}
}

// Upsampled returns the width after the upsampling of a block of the decoder: half of the block's
// own in Wan 2.1.
func (c VAEConfig) Upsampled(width int) int {
	if c.Residual {
		return width
	}
	return width / 2
}

// decoderDims lists the decoder's widths: before its first block, then after the residuals of each.
// The upsampling that ends all blocks but the last may halve the width once more; see Upsampled.
func (c VAEConfig) decoderDims() []int {
	base := c.DecoderBaseDim
	if base == 0 {
		base = c.BaseDim
	}
	n := len(c.DimMult)
	dims := []int{base * c.DimMult[n-1]}
	for i := n - 1; i >= 0; i-- {
		dims = append(dims, base*c.DimMult[i])
	}
	return dims
}
