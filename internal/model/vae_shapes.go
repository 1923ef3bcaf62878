package model

import (
	"fmt"

	"github.com/longtake/longtake/internal/tensor"
)

// Shapes lists the weights of both halves of a VAE, under the names that diffusers gives them.
func (c VAEConfig) Shapes() Shapes {
	s := Shapes{}
	s.decoder(c)
	s.encoder(c)
	return s
}

// decoder adds WanDecoder3d and the pointwise convolution in front of it.
func (s Shapes) decoder(c VAEConfig) {
	dims := c.decoderDims()
	last := dims[len(dims)-1]

	// Widths fall from the middle block's, the largest, to that of full resolution.
	s.linear("post_quant_conv", c.ZDim, c.ZDim, 1, 1, 1)
	s.linear("decoder.conv_in", dims[0], c.ZDim, 3, 3, 3)
	s.middle("decoder.mid_block.", dims[0])
	for i := range len(dims) - 1 {
		s.upBlock(c, i, dims)
	}
	s["decoder.norm_out.gamma"] = tensor.Shape{last, 1, 1, 1}
	s.linear("decoder.conv_out", c.OutChannels, last, 3, 3, 3)
}

// upBlock adds block i of the decoder: its residuals and, in all blocks but the last, a convolution
// that doubles the frames, where the block does so, and one that follows doubled rows and columns.
func (s Shapes) upBlock(c VAEConfig, i int, dims []int) {
	at := fmt.Sprintf("decoder.up_blocks.%d.", i)
	in, out := dims[i], dims[i+1]
	if i > 0 {
		in = c.Upsampled(in)
	}
	for j := range c.NumResBlocks + 1 {
		s.residual(fmt.Sprintf("%sresnets.%d.", at, j), in, out)
		in = out
	}
	if i == len(dims)-2 {
		return
	}

	// Two frames come out of the temporal convolution as twice the channels.
	at = c.UpsamplerAt(i)
	if c.TemporalUpsample(i) {
		s.linear(at+"time_conv", 2*out, out, 3, 1, 1)
	}
	s.linear(at+"resample.1", c.Upsampled(out), out, 3, 3)
}

// UpsamplerAt returns what the names of the upsampling's weights in the decoder's block i begin
// with.
func (c VAEConfig) UpsamplerAt(i int) string {
	if c.Residual {
		return fmt.Sprintf("decoder.up_blocks.%d.upsampler.", i)
	}
	return fmt.Sprintf("decoder.up_blocks.%d.upsamplers.0.", i)
}

// DownResidualAt returns what the names of the weights of residual j in the encoder's block i begin
// with. Wan 2.1 numbers residuals and downsamplings in one list over all blocks.
func (c VAEConfig) DownResidualAt(i, j int) string {
	if c.Residual {
		return fmt.Sprintf("encoder.down_blocks.%d.resnets.%d.", i, j)
	}
	return fmt.Sprintf("encoder.down_blocks.%d.", i*(c.NumResBlocks+1)+j)
}

// DownsamplerAt is DownResidualAt for the downsampling of block i.
func (c VAEConfig) DownsamplerAt(i int) string {
	if c.Residual {
		return fmt.Sprintf("encoder.down_blocks.%d.downsampler.", i)
	}
	return c.DownResidualAt(i, c.NumResBlocks)
}

// encoder adds WanEncoder3d and the pointwise convolution after it, whose output is the mean and
// the logarithm of the variance of a latent.
func (s Shapes) encoder(c VAEConfig) {
	dims := c.encoderDims()
	last := dims[len(dims)-1]
	s.linear("encoder.conv_in", dims[0], c.OutChannels, 3, 3, 3)

	// A block has NumResBlocks residuals, and a downsampler after them in all blocks but the last.
	for i, out := range dims[1:] {
		in := dims[i]
		for j := range c.NumResBlocks {
			s.residual(c.DownResidualAt(i, j), in, out)
			in = out
		}
		if i == len(dims)-2 {
			break
		}
		s.linear(c.DownsamplerAt(i)+"resample.1", out, out, 3, 3)
		if c.TemperalDownsample[i] {
			s.linear(c.DownsamplerAt(i)+"time_conv", out, out, 3, 1, 1)
		}
	}

	s.middle("encoder.mid_block.", last)
	s["encoder.norm_out.gamma"] = tensor.Shape{last, 1, 1, 1}
	s.linear("encoder.conv_out", 2*c.ZDim, last, 3, 3, 3)
	s.linear("quant_conv", 2*c.ZDim, 2*c.ZDim, 1, 1, 1)
}

// residual adds a WanResidualBlock, which has a pointwise shortcut where its width changes.
func (s Shapes) residual(at string, in, out int) {
	// Norms are RMS norms over channels, with a gain and no bias.
	s[at+"norm1.gamma"] = tensor.Shape{in, 1, 1, 1}
	s.linear(at+"conv1", out, in, 3, 3, 3)
	s[at+"norm2.gamma"] = tensor.Shape{out, 1, 1, 1}
	s.linear(at+"conv2", out, out, 3, 3, 3)
	if in != out {
		s.linear(at+"conv_shortcut", out, in, 1, 1, 1)
	}
}

// middle adds a WanMidBlock: attention within a frame, between two residuals.
func (s Shapes) middle(at string, dim int) {
	// Attention at the lowest resolution sees the whole frame at once.
	s.residual(at+"resnets.0.", dim, dim)
	s.residual(at+"resnets.1.", dim, dim)
	at += "attentions.0."
	s[at+"norm.gamma"] = tensor.Shape{dim, 1, 1}
	s.linear(at+"to_qkv", 3*dim, dim, 1, 1)
	s.linear(at+"proj", dim, dim, 1, 1)
}
