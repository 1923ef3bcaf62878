package vae

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Decoder holds the packed weights of the decoder on one device.
type Decoder struct {
	dev       compute.Device
	cfg       model.VAE
	postQuant compute.Linear
	convIn    causal
	mid       middle
	ups       []upBlock
	normOut   compute.Vector
	convOut   causal
	caches    int // as many causal convolutions; each keeps a history
}

type upBlock struct {
	res      []residual
	temporal *causal      // doubles the frames; nil where time is not upsampled
	spatial  compute.Conv // doubles height and width; nil in the last block
}

// Load binds the decoder's weights. The encoder's are left unread; anything else missing or unused
// is an error that names it.
func Load(dev compute.Device, cfg model.VAE, w *model.Weights) (*Decoder, error) {
	w.IgnorePrefix("encoder.")
	w.IgnorePrefix("quant_conv.")
	l := &loader{Builder: model.NewBuilder(dev, w)}
	d := &Decoder{dev: dev, cfg: cfg}
	dims := cfg.DecoderDims()
	z, last := cfg.ZDim, dims[len(dims)-1]
	d.postQuant = l.Linear("post_quant_conv", z, z, true, 1, 1, 1)
	d.convIn = l.causal("decoder.conv_in", kernel3(dims[0], z))
	d.mid = l.middle("decoder.mid_block.", dims[0])
	for i := range len(dims) - 1 {
		d.ups = append(d.ups, l.upBlock(cfg, i, dims))
	}
	d.normOut = l.Vector("decoder.norm_out.gamma", last, last, 1, 1, 1)
	d.convOut = l.causal("decoder.conv_out", kernel3(cfg.OutChannels, last))
	d.caches = l.caches
	if err := l.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the VAE decoder: %w", err)
	}
	return d, nil
}

// upBlock loads block i: its residuals and, but for the last, the upsampling behind them, which
// halves the channels.
func (l *loader) upBlock(cfg model.VAE, i int, dims []int) upBlock {
	at := fmt.Sprintf("decoder.up_blocks.%d.", i)
	in, out := dims[i], dims[i+1]
	if i > 0 {
		in /= 2
	}
	var u upBlock
	for j := range cfg.NumResBlocks + 1 {
		u.res = append(u.res, l.residual(fmt.Sprintf("%sresnets.%d.", at, j), in, out))
		in = out
	}
	if i == len(dims)-2 {
		return u
	}
	up := at + "upsamplers.0."
	if cfg.TemporalUpsample(i) {
		c := l.causal(up+"time_conv", compute.ConvShape{Out: 2 * out, In: out, KT: 3, KH: 1, KW: 1})
		u.temporal = &c
	}
	s := compute.ConvShape{Out: out / 2, In: out, KT: 1, KH: 3, KW: 3}
	u.spatial = l.Conv(up+"resample.1", s, true)
	return u
}
