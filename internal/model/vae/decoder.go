package vae

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Decoder holds the packed weights of the decoder on one device.
type Decoder struct {
	dev             compute.Device
	cfg             model.VAE
	postQuant       compute.Linear
	convIn, convOut compute.Conv
	mid             [2]residual
	attn            attention
	ups             []upBlock
	normOut         compute.Vector
	convs           int // causal convolutions numbered so far; each has a cache
}

// residual is norm, SiLU, conv, norm, SiLU, conv beside a shortcut (WanResidualBlock).
type residual struct {
	in, out      int
	norm1, norm2 compute.Vector
	conv1, conv2 causal
	shortcut     compute.Linear // nil where in == out
}

// causal is a convolution over time with the number of its cache.
type causal struct {
	conv  compute.Conv
	cache int
}

// attention is the single-headed one over the pixels of a frame (WanAttentionBlock).
type attention struct {
	dim       int
	norm      compute.Vector
	qkv, proj compute.Linear
}

type upBlock struct {
	res      []residual
	temporal *causal      // doubles the frames; nil where time is not upsampled
	spatial  compute.Conv // doubles height and width; nil in the last block
	dim      int
}

// Load binds the decoder's weights. The encoder's must be there too and are left unread; anything
// else missing or unused is an error that names it.
func Load(dev compute.Device, cfg model.VAE, w *model.Weights) (*Decoder, error) {
	w.IgnorePrefix("encoder.")
	w.IgnorePrefix("quant_conv.")
	b := model.NewBuilder(dev, w)
	d := &Decoder{dev: dev, cfg: cfg}
	dims := cfg.DecoderDims()
	z := cfg.ZDim
	d.postQuant = b.Linear("post_quant_conv", z, z, true, 1, 1, 1)
	d.convIn = b.Conv("decoder.conv_in", kernel3(dims[0], z), false)
	d.convs = 1
	d.mid[0] = d.residual(b, "decoder.mid_block.resnets.0.", dims[0], dims[0])
	d.attn = loadAttention(b, "decoder.mid_block.attentions.0.", dims[0])
	d.mid[1] = d.residual(b, "decoder.mid_block.resnets.1.", dims[0], dims[0])
	for i := range len(dims) - 1 {
		d.ups = append(d.ups, d.upBlock(b, i, dims))
	}
	last := dims[len(dims)-1]
	d.normOut = b.Vector("decoder.norm_out.gamma", last, last, 1, 1, 1)
	d.convOut = b.Conv("decoder.conv_out", kernel3(cfg.OutChannels, last), false)
	d.convs++
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the VAE decoder: %w", err)
	}
	return d, nil
}

func kernel3(out, in int) compute.ConvShape {
	return compute.ConvShape{Out: out, In: in, KT: 3, KH: 3, KW: 3}
}

// nextCache numbers a causal convolution's cache.
func (d *Decoder) nextCache() int {
	d.convs++
	return d.convs - 1
}

func (d *Decoder) residual(b *model.Builder, at string, in, out int) residual {
	r := residual{in: in, out: out,
		norm1: b.Vector(at+"norm1.gamma", in, in, 1, 1, 1),
		conv1: causal{b.Conv(at+"conv1", kernel3(out, in), false), d.nextCache()},
		norm2: b.Vector(at+"norm2.gamma", out, out, 1, 1, 1),
		conv2: causal{b.Conv(at+"conv2", kernel3(out, out), false), d.nextCache()},
	}
	if in != out {
		r.shortcut = b.Linear(at+"conv_shortcut", out, in, true, 1, 1, 1)
	}
	return r
}

func loadAttention(b *model.Builder, at string, dim int) attention {
	return attention{dim: dim,
		norm: b.Vector(at+"norm.gamma", dim, dim, 1, 1),
		qkv:  b.Linear(at+"to_qkv", 3*dim, dim, true, 1, 1),
		proj: b.Linear(at+"proj", dim, dim, true, 1, 1),
	}
}

// upBlock loads block i: its residuals and, but for the last, the upsampling behind them, which
// halves the channels.
func (d *Decoder) upBlock(b *model.Builder, i int, dims []int) upBlock {
	at := fmt.Sprintf("decoder.up_blocks.%d.", i)
	in, out := dims[i], dims[i+1]
	if i > 0 {
		in /= 2
	}
	u := upBlock{dim: out}
	for j := range d.cfg.NumResBlocks + 1 {
		u.res = append(u.res, d.residual(b, fmt.Sprintf("%sresnets.%d.", at, j), in, out))
		in = out
	}
	if i == len(dims)-2 {
		return u
	}
	up := at + "upsamplers.0."
	if d.cfg.TemporalUpsample(i) {
		s := compute.ConvShape{Out: 2 * out, In: out, KT: 3, KH: 1, KW: 1}
		u.temporal = &causal{b.Conv(up+"time_conv", s, false), d.nextCache()}
	}
	s := compute.ConvShape{Out: out / 2, In: out, KT: 1, KH: 3, KW: 3}
	u.spatial = b.Conv(up+"resample.1", s, true)
	return u
}
