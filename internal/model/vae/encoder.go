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
