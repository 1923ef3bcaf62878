package vae

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

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

// middle is what decoder and encoder have at the latent's resolution (WanMidBlock).
type middle struct {
	res  [2]residual
	attn attention
}

// loader binds layers and numbers the caches of their causal convolutions.
type loader struct {
	*model.Builder
	caches int
}

func (l *loader) causal(at string, s compute.ConvShape) causal {
	l.caches++
	return causal{l.Conv(at, s, false), l.caches - 1}
}

func kernel3(out, in int) compute.ConvShape {
	return compute.ConvShape{Out: out, In: in, KT: 3, KH: 3, KW: 3}
}

func (l *loader) residual(at string, in, out int) residual {
	r := residual{in: in, out: out,
		norm1: l.Vector(at+"norm1.gamma", in, in, 1, 1, 1),
		conv1: l.causal(at+"conv1", kernel3(out, in)),
		norm2: l.Vector(at+"norm2.gamma", out, out, 1, 1, 1),
		conv2: l.causal(at+"conv2", kernel3(out, out)),
	}
	if in != out {
		r.shortcut = l.Linear(at+"conv_shortcut", out, in, true, 1, 1, 1)
	}
	return r
}

func (l *loader) attention(at string, dim int) attention {
	return attention{dim: dim,
		norm: l.Vector(at+"norm.gamma", dim, dim, 1, 1),
		qkv:  l.Linear(at+"to_qkv", 3*dim, dim, true, 1, 1),
		proj: l.Linear(at+"proj", dim, dim, true, 1, 1),
	}
}

func (l *loader) middle(at string, dim int) middle {
	var m middle
	m.res[0] = l.residual(at+"resnets.0.", dim, dim)
	m.attn = l.attention(at+"attentions.0.", dim)
	m.res[1] = l.residual(at+"resnets.1.", dim, dim)
	return m
}
