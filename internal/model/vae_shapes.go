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
		in /= 2 // the upsampling before it has halved the channels
	}
	for j := range c.NumResBlocks + 1 {
		s.residual(fmt.Sprintf("%sresnets.%d.", at, j), in, out)
		in = out
	}
	if i == len(dims)-2 {
		return
	}

	// Two frames come out of the temporal convolution as twice the channels.
	if c.TemporalUpsample(i) {
		s.linear(at+"upsamplers.0.time_conv", 2*out, out, 3, 1, 1)
	}
	s.linear(at+"upsamplers.0.resample.1", out/2, out, 3, 3)
}

// encoder adds WanEncoder3d and the pointwise convolution after it, whose output is the mean and
// the logarithm of the variance of a latent.
func (s Shapes) encoder(c VAEConfig) {
	dims := c.encoderDims()
	last := dims[len(dims)-1]
	s.linear("encoder.conv_in", dims[0], c.OutChannels, 3, 3, 3)

	// Residuals and downsamplers are numbered in one list.
	at := func(n int) string { return fmt.Sprintf("encoder.down_blocks.%d.", n) }

	// A block has NumResBlocks residuals, and a downsampler after them in all blocks but the last.
	n := 0
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
