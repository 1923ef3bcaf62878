package vae

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// residual is a WanResidualBlock: norm, SiLU, conv, norm, SiLU, conv, added to a shortcut of the
// input.
type residual struct {
	in, out      int            // channels
	norm1, norm2 compute.Vector // [in], [out]
	conv1, conv2 causal         // 3 x 3 x 3, [out, in] and [out, out] channels
	shortcut     compute.Linear // [out, in]; nil where in == out
}

// causal is a convolution that sees only a frame and those before it (WanCausalConv3d).
type causal struct {
	conv  compute.Conv // 3 frames, this one the last
	cache int          // its index into runner.caches
}

// attention lets the pixels of one frame attend to each other, with a single head
// (WanAttentionBlock).
type attention struct {
	dim       int            // channels
	norm      compute.Vector // [dim]
	qkv, proj compute.Linear // [3·dim, dim], [dim, dim]
}

// middle is the block that decoder and encoder have at the latent's resolution (WanMidBlock). Its
// attention sees the whole frame, so only what comes after it can be decoded in bands.
type middle struct {
	res  [2]residual
	attn attention
}

// loader binds layers, in the order in which they run, and numbers the caches of their causal
// convolutions.
type loader struct {
	*model.Builder
	caches int // how many were numbered
}

// causal binds a convolution over time and gives it the next cache.
func (l *loader) causal(at string) causal {
	l.caches++
	return causal{l.Conv(at), l.caches - 1}
}

// residual binds a WanResidualBlock.
func (l *loader) residual(at string) residual {
	s := l.Shape(at + "conv1.weight") // [out, in, 3, 3, 3]
	r := residual{in: s[1], out: s[0],
		norm1: l.Vector(at + "norm1.gamma"),
		conv1: l.causal(at + "conv1"),
		norm2: l.Vector(at + "norm2.gamma"),
		conv2: l.causal(at + "conv2"),
	}
	if r.in != r.out {
		r.shortcut = l.Linear(at + "conv_shortcut")
	}
	return r
}

// attention binds a WanAttentionBlock.
func (l *loader) attention(at string) attention {
	return attention{dim: l.Shape(at + "norm.gamma")[0],
		norm: l.Vector(at + "norm.gamma"),
		qkv:  l.Linear(at + "to_qkv"),
		proj: l.Linear(at + "proj"),
	}
}

// middle binds a WanMidBlock, in the order in which it runs.
func (l *loader) middle(at string) middle {
	var m middle
	m.res[0] = l.residual(at + "resnets.0.")
	m.attn = l.attention(at + "attentions.0.")
	m.res[1] = l.residual(at + "resnets.1.")
	return m
}
