package wan

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// TextTokens is the context length that Wan was trained with; the pipeline pads shorter prompts to
// it with zero embeddings, and Text refuses longer ones.
const TextTokens = 512

// Transformer is the packed weights, and a device that computes with them. It is read-only after
// Load, so any number of sequences may use it, one at a time, since they share the device; On gives
// one for another device.
type Transformer struct {
	dev      compute.Device          // that computes
	cfg      model.TransformerConfig // as in transformer/config.json
	dtype    compute.DType           // of products, and of activations between ranks
	large    compute.DType           // of products of the blocks' large layers
	patch    compute.Linear          // [d, patch·C], of latent and condition
	time1    compute.Linear          // [d, freq]
	time2    compute.Linear          // [d, d]
	timeP    compute.Linear          // [6d, d]
	text1    compute.Linear          // [d, text_dim]
	text2    compute.Linear          // [d, d]
	blocks   []block                 // in their order
	embedder pictureEmbedder         // zero unless SeesPictures
	vace     []vaceBlock             // in the order of cfg.VaceLayers; none without control
	patchC   compute.Linear          // [d, patch·control channels]; nil without control
	table    compute.Vector          // [2d]: shift, scale of the output norm
	proj     compute.Linear          // [patch·C, d]
}

// block is the weights of one WanTransformerBlock.
type block struct {
	table         compute.Vector // [6d]: added to the projected timestep
	self, cross   attention      // over the window, to the text
	norm2g        compute.Vector // [d]; nil without cross_attn_norm
	norm2b        compute.Vector // [d]; as norm2g
	ffnUp, ffnOut compute.Linear // [ffn, d], [d, ffn]
}

// attention is the weights of a WanAttention, in the form that self-attention or cross-attention
// uses.
type attention struct {
	qkv          compute.Linear    // self: [3d, d]
	qk           compute.Linear    // of qkv: q and k
	parts        [3]compute.Linear // of qkv: q, k, v
	q, kv        compute.Linear    // cross: [d, d], [2d, d]
	out          compute.Linear    // [d, d]
	normQ, normK compute.Vector    // [d], over all heads at once

	// Cross-attention to pictures, where the model sees some: [d, d], [d, d], [d].
	pictureK, pictureV compute.Linear
	normPictureK       compute.Vector
}

// Load binds every weight of a transformer; missing, misshaped and unused ones are errors that name
// them. dt is what products of the blocks' large layers multiply, and others its Rest; those of the
// time embedding are float32 whatever it is, since their result scales every activation.
func Load(dev compute.Device, cfg model.TransformerConfig, w *model.Weights, dt compute.DType) (
	*Transformer, error) {
	b := model.NewBuilder(dev, w)
	const cond = "condition_embedder."
	t := &Transformer{
		dev: dev, cfg: cfg, dtype: dt.Rest(), large: dt,
		time1: b.Linear(cond + "time_embedder.linear_1"),
		time2: b.Linear(cond + "time_embedder.linear_2"),
		timeP: b.Linear(cond + "time_proj"),
		table: b.Vector("scale_shift_table"),
	}

	b.DType = dt
	t.patch = loadPatch(b, cfg, "patch_embedding", cfg.OutChannels, cfg.InChannels-cfg.OutChannels)
	t.text1 = b.Linear(cond + "text_embedder.linear_1")
	t.text2 = b.Linear(cond + "text_embedder.linear_2")
	t.proj = b.Linear("proj_out")
	prefix := func(i int) string { return fmt.Sprintf("blocks.%d.", i) }
	for i := range cfg.NumLayers {
		b.WillNeed(prefix(i + 1)) // the system reads them while these are packed
		t.blocks = append(t.blocks, loadBlock(b, cfg, prefix(i)))
		b.Leave(prefix(i))
	}
	t.loadPictures(b)
	t.loadVace(b)
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the transformer: %w", err)
	}
	return t, nil
}

// Outline returns a transformer without weights: SequenceBytes, TextBytes and Work are all that it
// is good for.
func Outline(cfg model.TransformerConfig, dt compute.DType) *Transformer {
	return &Transformer{dev: &compute.Meter{}, cfg: cfg, dtype: dt.Rest(), large: dt,
		blocks: make([]block, cfg.NumLayers), vace: make([]vaceBlock, len(cfg.VaceLayers))}
}

// On returns the transformer with the same weights on another device, whose compute.Packing is that
// of the one they were packed on.
func (t *Transformer) On(dev compute.Device) *Transformer {
	on := *t
	on.dev = dev
	return &on
}

// Form returns a transformer without weights, which has the sizes of t: it makes sequences and
// counts memory and work, and holds nothing. Passes need another one, which Sequence.Use gives
// them.
func (t *Transformer) Form() *Transformer {
	return &Transformer{dev: t.dev, cfg: t.cfg, dtype: t.dtype, large: t.large,
		blocks: make([]block, len(t.blocks)), vace: make([]vaceBlock, len(t.vace))}
}

// loadPatch turns a patch convolution [d, C, pt, ph, pw], whose stride is its kernel, into a
// linear layer [d, pt·ph·pw·C] over the rows that tokens travel as. The channels come in groups of
// these sizes, each of which is a row of its own, [pt·ph·pw, channels]: what a token has of them
// lies together, the latent first.
func loadPatch(b *model.Builder, cfg model.TransformerConfig, name string, groups ...int,
) compute.Linear {
	d, p := cfg.Dim(), cfg.PatchSize
	w, n := b.Take(name+".weight"), p[0]*p[1]*p[2]
	rows := make([]float32, 0, len(w))
	width := len(w) / d

	for o := range d {
		of := w[o*width:] // [C, patch]
		for _, c := range groups {
			for k := range n {
				for ch := range c {
					rows = append(rows, of[ch*n+k]) // to [patch, channels]
				}
			}
			of = of[c*n:]
		}
	}
	return b.PackLinear(rows, b.Take(name+".bias"), d, width)
}

// loadBlock binds the block whose weights' names begin with at.
func loadBlock(b *model.Builder, cfg model.TransformerConfig, at string) block {
	d := cfg.Dim()
	l := block{
		table:  b.Vector(at + "scale_shift_table"),
		self:   loadAttention(b, at+"attn1."),
		cross:  loadAttention(b, at+"attn2."),
		ffnUp:  b.Large(at + "ffn.net.0.proj"),
		ffnOut: b.Large(at + "ffn.net.2"),
	}

	// Alone, a rank computes q, k and v in one product. In a group it computes them one by one from
	// the same packed weight, so that one travels while the next is computed.
	l.self.qkv = b.Large(at+"attn1.to_q", at+"attn1.to_k", at+"attn1.to_v")
	for i := range l.self.parts {
		if l.self.qkv != nil { // nil once loading is stopped
			l.self.parts[i] = l.self.qkv.Part(i*d, (i+1)*d)
		}
	}
	if l.self.qkv != nil {
		l.self.qk = l.self.qkv.Part(0, 2*d)
	}

	// Keys and values of the text are made once per clip, so they keep the better type.
	l.cross.q = b.Large(at + "attn2.to_q")
	l.cross.kv = b.Linear(at+"attn2.to_k", at+"attn2.to_v")
	if cfg.ImageDim > 0 {
		l.cross.pictureK, l.cross.pictureV = b.Linear(at+"attn2.add_k_proj"),
			b.Linear(at+"attn2.add_v_proj")
		l.cross.normPictureK = b.Vector(at + "attn2.norm_added_k.weight")
	}
	if cfg.CrossAttnNorm {
		l.norm2g, l.norm2b = b.Vector(at+"norm2.weight"), b.Vector(at+"norm2.bias")
	}
	return l
}

// loadAttention binds what self-attention and cross-attention have in common.
func loadAttention(b *model.Builder, at string) attention {
	return attention{
		out:   b.Large(at + "to_out.0"),
		normQ: b.Vector(at + "norm_q.weight"), normK: b.Vector(at + "norm_k.weight"),
	}
}

// Work returns the multiplications and additions of a pass over so many tokens: the products of q,
// k, v, outputs and cross-attention, those of the feed-forward, and self-attention itself.
// Attention to the text is left out as small. A control block costs as much as another one, and a
// product more.
func (t *Transformer) Work(tokens int) float64 { return t.WorkOver(tokens, tokens) }

// WorkOver is Work where the tokens attend to so many keys, their own among them.
func (t *Transformer) WorkOver(tokens, keys int) float64 {
	n, k, d, f := float64(tokens), float64(keys), float64(t.cfg.Dim()), float64(t.cfg.FFNDim)
	block := 12*n*d*d + 4*n*d*f + 4*n*k*d
	return float64(len(t.blocks))*block + float64(len(t.vace))*(block+2*n*d*d)
}

// FeedForward returns the largest weight of a layer, [ffn, d], by which a shard measures how fast
// its device multiplies.
func (t *Transformer) FeedForward() compute.Linear { return t.blocks[0].ffnUp }

// Operations returns how many operation numbers a pass uses for its messages, counted from the tag
// that Forward is given.
func (t *Transformer) Operations() int { return opsPerLayer * (len(t.blocks) + len(t.vace)) }

// TokenWidth returns the number of latent values in one token: channels times patch volume. The
// model may take more of a token: see ConditionWidth.
func (t *Transformer) TokenWidth() int {
	p := t.cfg.PatchSize
	return t.cfg.OutChannels * p[0] * p[1] * p[2]
}
