package wan

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// TextTokens is the context length Wan was trained with; shorter prompts are padded with zero
// embeddings up to it.
const TextTokens = 512

// Transformer holds the packed weights on one device.
type Transformer struct {
	dev    compute.Device
	cfg    model.Transformer
	dtype  compute.DType
	patch  compute.Linear // [d, patch·C]
	time1  compute.Linear // [d, freq]
	time2  compute.Linear // [d, d]
	timeP  compute.Linear // [6d, d]
	text1  compute.Linear // [d, text]
	text2  compute.Linear // [d, d]
	blocks []block
	table  compute.Vector // [2d]: shift, scale of the output norm
	proj   compute.Linear // [patch·C, d]
}

type block struct {
	table         compute.Vector // [6d]
	self, cross   attention
	norm2g        compute.Vector // nil without cross_attn_norm
	norm2b        compute.Vector
	ffnUp, ffnOut compute.Linear
}

type attention struct {
	qkv          compute.Linear    // self: [3d, d]
	parts        [3]compute.Linear // of qkv: q, k, v
	q, kv        compute.Linear    // cross: [d, d], [2d, d]
	out          compute.Linear
	normQ, normK compute.Vector
}

// Load binds every weight; missing, misshaped and unused ones are errors that name them. dt is what
// products multiply; those of the time embedding are float32 whatever it is.
func Load(dev compute.Device, cfg model.Transformer, w *model.Weights, dt compute.DType) (
	*Transformer, error) {
	b := model.NewBuilder(dev, w)
	d, p := cfg.Dim(), cfg.PatchSize[0]*cfg.PatchSize[1]*cfg.PatchSize[2]
	const cond = "condition_embedder."
	t := &Transformer{
		dev: dev, cfg: cfg, dtype: dt,
		time1: b.Linear(cond+"time_embedder.linear_1", d, cfg.FreqDim, true),
		time2: b.Linear(cond+"time_embedder.linear_2", d, d, true),
		timeP: b.Linear(cond+"time_proj", 6*d, d, true),
		table: b.Vector("scale_shift_table", 2*d, 1, 2, d),
	}
	b.DType = dt
	t.patch = loadPatch(b, cfg)
	t.text1 = b.Linear(cond+"text_embedder.linear_1", d, cfg.TextDim, true)
	t.text2 = b.Linear(cond+"text_embedder.linear_2", d, d, true)
	t.proj = b.Linear("proj_out", p*cfg.OutChannels, d, true)
	for i := range cfg.NumLayers {
		t.blocks = append(t.blocks, loadBlock(b, cfg, fmt.Sprintf("blocks.%d.", i)))
	}
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the transformer: %w", err)
	}
	return t, nil
}

// loadPatch turns the patch convolution [d, C, pt, ph, pw], whose stride is its kernel, into a
// linear layer over patch rows in (pt, ph, pw, C) order.
func loadPatch(b *model.Builder, cfg model.Transformer) compute.Linear {
	d, c, p := cfg.Dim(), cfg.InChannels, cfg.PatchSize
	w := b.Take("patch_embedding.weight", d, c, p[0], p[1], p[2])
	n := p[0] * p[1] * p[2]
	rows := make([]float32, len(w))
	for o := range d {
		for ch := range c {
			for k := range n {
				rows[o*n*c+k*c+ch] = w[(o*c+ch)*n+k]
			}
		}
	}
	return b.PackLinear(rows, b.Take("patch_embedding.bias", d), d, n*c)
}

func loadBlock(b *model.Builder, cfg model.Transformer, at string) block {
	d := cfg.Dim()
	l := block{
		table:  b.Vector(at+"scale_shift_table", 6*d, 1, 6, d),
		self:   loadAttention(b, at+"attn1.", d),
		cross:  loadAttention(b, at+"attn2.", d),
		ffnUp:  b.Linear(at+"ffn.net.0.proj", cfg.FFNDim, d, true),
		ffnOut: b.Linear(at+"ffn.net.2", d, cfg.FFNDim, true),
	}
	l.self.qkv = b.Fused([]string{at + "attn1.to_q", at + "attn1.to_k", at + "attn1.to_v"}, d, d, true)
	for i := range l.self.parts {
		if l.self.qkv != nil {
			l.self.parts[i] = l.self.qkv.Part(i*d, (i+1)*d)
		}
	}
	l.cross.q = b.Linear(at+"attn2.to_q", d, d, true)
	l.cross.kv = b.Fused([]string{at + "attn2.to_k", at + "attn2.to_v"}, d, d, true)
	if cfg.CrossAttnNorm {
		l.norm2g, l.norm2b = b.Vector(at+"norm2.weight", d), b.Vector(at+"norm2.bias", d)
	}
	return l
}

func loadAttention(b *model.Builder, at string, d int) attention {
	return attention{
		out:   b.Linear(at+"to_out.0", d, d, true),
		normQ: b.Vector(at+"norm_q.weight", d), normK: b.Vector(at+"norm_k.weight", d),
	}
}

// Config returns the configuration the transformer was loaded with.
func (t *Transformer) Config() model.Transformer { return t.cfg }

// Work returns the multiplications and additions of a pass over so many tokens: products and
// attention.
func (t *Transformer) Work(tokens int) float64 {
	n, d, f := float64(tokens), float64(t.cfg.Dim()), float64(t.cfg.FFNDim)
	return float64(len(t.blocks)) * (12*n*d*d + 4*n*d*f + 4*n*n*d)
}

// FeedForward returns the largest weight of a layer, to measure the device with.
func (t *Transformer) FeedForward() compute.Linear { return t.blocks[0].ffnUp }

// Operations returns how many operation numbers a pass uses for its messages.
func (t *Transformer) Operations() int { return opsPerLayer * len(t.blocks) }

// TokenWidth returns the values of one token of the latent: channels times patch volume.
func (t *Transformer) TokenWidth() int {
	p := t.cfg.PatchSize
	return t.cfg.InChannels * p[0] * p[1] * p[2]
}
