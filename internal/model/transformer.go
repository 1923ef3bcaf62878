package model

import "fmt"

// Transformer is the configuration of a WanTransformer3DModel.
type Transformer struct {
	PatchSize         [3]int // latent frames, rows, columns of one token
	NumAttentionHeads int
	AttentionHeadDim  int
	InChannels        int // of the latent
	OutChannels       int
	TextDim           int // width of the text encoder's embeddings
	FreqDim           int // width of the timestep's sinusoid
	FFNDim            int
	NumLayers         int
	CrossAttnNorm     bool // a layer norm with weights before cross-attention
	Eps               float32
	RopeMaxSeqLen     int // positions on each axis
}

// Dim returns the transformer's width.
func (t Transformer) Dim() int { return t.NumAttentionHeads * t.AttentionHeadDim }

// Limits of a configuration's values; far above any published model's.
const (
	widthLimit = 1 << 17
	countLimit = 1 << 10
)

// readTransformer takes the defaults of WanTransformer3DModel.
func readTransformer(s *settings) Transformer {
	s.must("_class_name", `"WanTransformer3DModel"`)
	patch := wholes(s, "patch_size", []whole{1, 2, 2}, 3, 1, 16)
	t := Transformer{
		PatchSize:         [3]int(patch),
		NumAttentionHeads: s.int("num_attention_heads", 40, 1, countLimit),
		AttentionHeadDim:  s.int("attention_head_dim", 128, 2, 1024),
		InChannels:        s.int("in_channels", 16, 1, countLimit),
		TextDim:           s.int("text_dim", 4096, 1, widthLimit),
		FreqDim:           s.int("freq_dim", 256, 2, widthLimit),
		FFNDim:            s.int("ffn_dim", 13824, 1, widthLimit),
		NumLayers:         s.int("num_layers", 40, 1, countLimit),
		CrossAttnNorm:     s.bool("cross_attn_norm", true),
		Eps:               float32(s.float("eps", 1e-6, 0, 1)),
		RopeMaxSeqLen:     s.int("rope_max_seq_len", 1024, 1, 1<<20),
	}
	t.OutChannels = s.intOr("out_channels", 16, t.InChannels, 1, countLimit)
	s.must("qk_norm", `"rms_norm_across_heads"`)
	for _, k := range []string{"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"} {
		s.must(k, "null")
	}
	if t.AttentionHeadDim%2 != 0 {
		s.fail("attention_head_dim", "an even number, which rotary positions need")
	}
	if t.FreqDim%2 != 0 {
		s.fail("freq_dim", "an even number")
	}
	if t.OutChannels != t.InChannels {
		s.fail("out_channels", fmt.Sprintf("%d, as in_channels", t.InChannels))
	}
	s.skip("torch_dtype", "dtype")
	return t
}

// TransformerWeights lists the shape of every weight of a transformer, by its name in the file.
func TransformerWeights(c Transformer) map[string][]int {
	d, p := c.Dim(), c.PatchSize
	s := shapes{}
	s["patch_embedding.weight"] = []int{d, c.InChannels, p[0], p[1], p[2]}
	s["patch_embedding.bias"] = []int{d}
	const cond = "condition_embedder."
	s.linear(cond+"time_embedder.linear_1", d, c.FreqDim)
	s.linear(cond+"time_embedder.linear_2", d, d)
	s.linear(cond+"time_proj", 6*d, d)
	s.linear(cond+"text_embedder.linear_1", d, c.TextDim)
	s.linear(cond+"text_embedder.linear_2", d, d)
	s["scale_shift_table"] = []int{1, 2, d}
	s.linear("proj_out", p[0]*p[1]*p[2]*c.OutChannels, d)
	for i := range c.NumLayers {
		s.block(c, fmt.Sprintf("blocks.%d.", i))
	}
	return s
}

// shapes maps a weight's name to its shape.
type shapes map[string][]int

// linear adds a layer's weight [out, in, kernel...] and bias [out].
func (s shapes) linear(name string, out, in int, kernel ...int) {
	s[name+".weight"] = append([]int{out, in}, kernel...)
	s[name+".bias"] = []int{out}
}

func (s shapes) block(c Transformer, at string) {
	d := c.Dim()
	s[at+"scale_shift_table"] = []int{1, 6, d}
	for _, attn := range []string{at + "attn1.", at + "attn2."} {
		for _, q := range []string{"to_q", "to_k", "to_v", "to_out.0"} {
			s.linear(attn+q, d, d)
		}
		s[attn+"norm_q.weight"], s[attn+"norm_k.weight"] = []int{d}, []int{d}
	}
	s.linear(at+"ffn.net.0.proj", c.FFNDim, d)
	s.linear(at+"ffn.net.2", d, c.FFNDim)
	if c.CrossAttnNorm {
		s[at+"norm2.weight"], s[at+"norm2.bias"] = []int{d}, []int{d}
	}
}
