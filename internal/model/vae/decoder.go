package vae

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Decoder is the packed weights of the decoder, and a device that computes with them. It is
// read-only after Load; each clip is decoded by a Stream of its own.
type Decoder struct {
	dev       compute.Device  // that computes
	cfg       model.VAEConfig // as in vae/config.json
	postQuant compute.Linear  // [z, z]
	convIn    causal          // z to the width of the first block
	mid       middle          // at the latent's resolution
	ups       []upBlock       // in their order
	normOut   compute.Vector  // before convOut
	convOut   causal          // to the channels of a frame
	caches    int             // the number of causal convolutions; each stream caches frames for all
}

// upBlock is a WanUpBlock or WanResidualUpBlock: residuals, then upsampling in time and space
// (WanResample).
type upBlock struct {
	res      []residual    // one more than in the encoder's blocks
	shortcut bool          // whether the resampled input is added to the output (DupUp3D)
	block    compute.Block // how resolution changes
	temporal *causal       // twice the channels, which become twice the frames; nil where time stays
	spatial  compute.Conv  // doubles height and width; nil in the last block
}

// Load binds the decoder's weights. The encoder's are left unread; any other missing or unused
// weight is an error that names it.
func Load(dev compute.Device, cfg model.VAEConfig, w *model.Weights) (*Decoder, error) {
	w.IgnorePrefix("encoder.")
	w.IgnorePrefix("quant_conv.")
	l := &loader{Builder: model.NewBuilder(dev, w)}
	d := &Decoder{dev: dev, cfg: cfg}
	d.postQuant = l.Linear("post_quant_conv")
	d.convIn = l.causal("decoder.conv_in")
	d.mid = l.middle("decoder.mid_block.")
	for i := range cfg.DimMult {
		d.ups = append(d.ups, l.upBlock(cfg, i))
	}
	d.normOut = l.Vector("decoder.norm_out.gamma")
	d.convOut = l.causal("decoder.conv_out")
	d.caches = l.caches

	if err := l.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the VAE decoder: %w", err)
	}
	return d, nil
}

// On returns the decoder with the same weights on another device, whose compute.Packing is that of
// the one they were packed on.
func (d *Decoder) On(dev compute.Device) *Decoder {
	on := *d
	on.dev = dev
	return &on
}

// upBlock binds block i: its residuals and, in all blocks but the last, the upsampling after them.
func (l *loader) upBlock(cfg model.VAEConfig, i int) upBlock {
	at := fmt.Sprintf("decoder.up_blocks.%d.", i)
	var u upBlock
	for j := range cfg.NumResBlocks + 1 {
		u.res = append(u.res, l.residual(fmt.Sprintf("%sresnets.%d.", at, j)))
	}
	if i == len(cfg.DimMult)-1 {
		return u
	}

	up := cfg.UpsamplerAt(i)
	u.shortcut, u.block = cfg.Residual, cfg.UpBlock(i)
	if cfg.TemporalUpsample(i) {
		c := l.causal(up + "time_conv")
		u.temporal = &c
	}
	u.spatial = l.Conv(up + "resample.1")
	return u
}
