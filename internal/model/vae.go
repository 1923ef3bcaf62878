package model

import "fmt"

// VAE is the configuration of an AutoencoderKLWan.
type VAE struct {
	BaseDim            int
	DecoderBaseDim     int // 0: as BaseDim
	ZDim               int // channels of the latent
	DimMult            []int
	NumResBlocks       int
	TemperalDownsample []bool // of the encoder's blocks, in their order; diffusers' spelling
	OutChannels        int
	LatentsMean        []float64 // [ZDim]
	LatentsStd         []float64
}

// TemporalUpsample reports whether the decoder's block i doubles the frames: the decoder undoes the
// encoder in reverse.
func (v VAE) TemporalUpsample(i int) bool {
	return v.TemperalDownsample[len(v.TemperalDownsample)-1-i]
}

// SpatialScale returns the pixels for each latent row or column.
func (v VAE) SpatialScale() int { return 1 << (len(v.DimMult) - 1) }

// TemporalScale returns the frames for each latent frame after the first.
func (v VAE) TemporalScale() int {
	scale := 1
	for _, down := range v.TemperalDownsample {
		if down {
			scale *= 2
		}
	}
	return scale
}

// LatentFrames returns how many latent frames so many frames, at least one, make up: the first one
// stands for a single frame, each one after it for TemporalScale frames.
func (v VAE) LatentFrames(frames int) int { return (frames-1)/v.TemporalScale() + 1 }

// FramesBefore returns how many frames the latent frames before one make.
func (v VAE) FramesBefore(latent int) int {
	if latent == 0 {
		return 0
	}
	return 1 + (latent-1)*v.TemporalScale()
}

// DecodeWork returns about how many multiplications and additions the decoder needs for one place
// of a latent frame other than the first, by its convolutions.
func (v VAE) DecodeWork() float64 {
	dims := v.DecoderDims()
	residual := func(in, out int) int {
		n := 27 * (in*out + out*out)
		if in != out {
			n += in * out
		}
		return n
	}
	each := 27*v.ZDim*dims[0] + 2*residual(dims[0], dims[0]) + 4*dims[0]*dims[0]
	scale := 1 // pixels, over all frames, that a place has become
	for i, in := range dims[:len(dims)-1] {
		out := dims[i+1]
		if i > 0 {
			in /= 2
		}
		for range v.NumResBlocks + 1 {
			each += scale * residual(in, out)
			in = out
		}
		if i == len(dims)-2 {
			break
		}
		if v.TemporalUpsample(i) {
			each += scale * 3 * out * 2 * out
			scale *= 2
		}
		scale *= 4
		each += scale * 9 * out * out / 2
	}
	return 2 * float64(each+scale*27*dims[len(dims)-1]*v.OutChannels)
}

// readVAE takes the defaults of AutoencoderKLWan.
func readVAE(s *settings) VAE {
	s.must("_class_name", `"AutoencoderKLWan"`)
	v := VAE{
		BaseDim:      s.int("base_dim", 96, 1, 1<<12),
		ZDim:         s.int("z_dim", 16, 1, countLimit),
		NumResBlocks: s.int("num_res_blocks", 2, 1, 64),
		OutChannels:  s.int("out_channels", 3, 3, 3),
	}
	v.DecoderBaseDim = s.intOr("decoder_base_dim", v.BaseDim, v.BaseDim, 1, 1<<12)
	mult := []whole{1, 2, 4, 4}
	s.given("dim_mult", &mult, "a list of numbers")
	if len(mult) < 2 || len(mult) > 6 {
		s.fail("dim_mult", "2 to 6 values")
		return v
	}
	v.DimMult = wholes(s, "dim_mult", []whole{1, 2, 4, 4}, len(mult), 1, 64)
	v.TemperalDownsample = list(s, "temperal_downsample", []bool{false, true, true},
		len(v.DimMult)-1, func(bool) bool { return true }, "one less than dim_mult has")
	v.LatentsMean = list(s, "latents_mean", wanMean, v.ZDim,
		func(float64) bool { return true }, "one for each of z_dim")
	v.LatentsStd = list(s, "latents_std", wanStd, v.ZDim,
		func(x float64) bool { return x > 0 }, "one above 0 for each of z_dim")
	v.check(s)
	return v
}

// check refuses what the decoder does not compute.
func (v VAE) check(s *settings) {
	s.must("attn_scales", "[]")
	s.must("is_residual", "false")
	s.must("patch_size", "null")
	s.must("in_channels", "3")
	s.must("scale_factor_spatial", fmt.Sprint(v.SpatialScale()), "null")
	s.must("scale_factor_temporal", fmt.Sprint(v.TemporalScale()), "null")
	s.skip("dropout", "torch_dtype", "dtype")
	if len(v.TemperalDownsample) != len(v.DimMult)-1 {
		s.fail("temperal_downsample", "one value less than dim_mult has")
	}
	if len(v.LatentsMean) != v.ZDim || len(v.LatentsStd) != v.ZDim {
		s.fail("z_dim", "16, unless latents_mean and latents_std are given")
	}
}

// Statistics of the latents of Wan 2.1's VAE, which its configuration may leave out.
var (
	wanMean = []float64{-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
		0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921}
	wanStd = []float64{2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
		3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160}
)

// decoderWeights lists the shape of every weight of the decoder.
func decoderWeights(c VAE) shapes {
	dims := c.DecoderDims()
	s := shapes{}
	s.linear("post_quant_conv", c.ZDim, c.ZDim, 1, 1, 1)
	s.linear("decoder.conv_in", dims[0], c.ZDim, 3, 3, 3)
	s.middle("decoder.mid_block.", dims[0])
	for i := range len(dims) - 1 {
		s.upBlock(c, i, dims)
	}
	last := dims[len(dims)-1]
	s["decoder.norm_out.gamma"] = []int{last, 1, 1, 1}
	s.linear("decoder.conv_out", c.OutChannels, last, 3, 3, 3)
	return s
}

// encoderWeights lists the shape of every weight of the encoder.
func encoderWeights(c VAE) shapes {
	dims := c.EncoderDims()
	last := dims[len(dims)-1]
	s := shapes{}
	s.linear("encoder.conv_in", dims[0], c.OutChannels, 3, 3, 3)
	at := func(i int) string { return fmt.Sprintf("encoder.down_blocks.%d.", i) }
	n := 0 // residuals and downsamplers are in one list
	for i, out := range dims[1:] {
		in := dims[i]
		for range c.NumResBlocks {
			s.residual(at(n), in, out)
			in, n = out, n+1
		}
		if i == len(dims)-2 {
			break
		}
		s.linear(at(n)+"resample.1", out, out, 3, 3)
		if c.TemperalDownsample[i] {
			s.linear(at(n)+"time_conv", out, out, 3, 1, 1)
		}
		n++
	}
	s.middle("encoder.mid_block.", last)
	s["encoder.norm_out.gamma"] = []int{last, 1, 1, 1}
	s.linear("encoder.conv_out", 2*c.ZDim, last, 3, 3, 3)
	s.linear("quant_conv", 2*c.ZDim, 2*c.ZDim, 1, 1, 1)
	return s
}

// EncoderDims lists the encoder's widths: before its first block, then after each.
func (v VAE) EncoderDims() []int {
	dims := []int{v.BaseDim}
	for _, m := range v.DimMult {
		dims = append(dims, v.BaseDim*m)
	}
	return dims
}

// DecoderDims lists the decoder's widths: before its first block, then after each.
func (v VAE) DecoderDims() []int {
	base := v.DecoderBaseDim
	if base == 0 {
		base = v.BaseDim
	}
	n := len(v.DimMult)
	dims := []int{base * v.DimMult[n-1]}
	for i := n - 1; i >= 0; i-- {
		dims = append(dims, base*v.DimMult[i])
	}
	return dims
}

func (s shapes) residual(at string, in, out int) {
	s[at+"norm1.gamma"], s[at+"norm2.gamma"] = []int{in, 1, 1, 1}, []int{out, 1, 1, 1}
	s.linear(at+"conv1", out, in, 3, 3, 3)
	s.linear(at+"conv2", out, out, 3, 3, 3)
	if in != out {
		s.linear(at+"conv_shortcut", out, in, 1, 1, 1)
	}
}

func (s shapes) middle(at string, dim int) {
	s.residual(at+"resnets.0.", dim, dim)
	s.residual(at+"resnets.1.", dim, dim)
	at += "attentions.0."
	s[at+"norm.gamma"] = []int{dim, 1, 1}
	s.linear(at+"to_qkv", 3*dim, dim, 1, 1)
	s.linear(at+"proj", dim, dim, 1, 1)
}

func (s shapes) upBlock(c VAE, i int, dims []int) {
	at := fmt.Sprintf("decoder.up_blocks.%d.", i)
	in, out := dims[i], dims[i+1]
	if i > 0 {
		in /= 2
	}
	for j := range c.NumResBlocks + 1 {
		s.residual(fmt.Sprintf("%sresnets.%d.", at, j), in, out)
		in = out
	}
	if i == len(dims)-2 {
		return
	}
	if c.TemporalUpsample(i) {
		s.linear(at+"upsamplers.0.time_conv", 2*out, out, 3, 1, 1)
	}
	s.linear(at+"upsamplers.0.resample.1", out/2, out, 3, 3)
}
