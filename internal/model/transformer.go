package model

import (
	"fmt"

	"github.com/longtake/longtake/internal/tensor"
)

// TransformerConfig is the configuration of diffusers' WanTransformer3DModel, with its field names
// in Go's spelling.
type TransformerConfig struct {
	PatchSize         [3]int  // latent frames, rows, columns of one token
	NumAttentionHeads int     // in self-attention and cross-attention alike
	AttentionHeadDim  int     // columns of a head; even, since rotary positions turn pairs
	InChannels        int     // of the latent
	OutChannels       int     // of the velocity; as InChannels
	TextDim           int     // width of the text encoder's embeddings
	FreqDim           int     // width of the timestep's sinusoid; even: cosines and sines
	FFNDim            int     // hidden width of the feed-forward
	NumLayers         int     // transformer blocks
	CrossAttnNorm     bool    // whether a layer norm with weights precedes cross-attention
	Eps               float32 // added to the variance in every norm
	RopeMaxSeqLen     int     // positions on each axis that the model knows
	// VaceLayers are the layers that a control is added to, ascending from 0 (diffusers'
	// WanVACETransformer3DModel); none in other models. The control has VaceInChannels.
	VaceLayers     []int
	VaceInChannels int
}

// Dim returns the transformer's width d: that of all heads together.
func (c TransformerConfig) Dim() int { return c.NumAttentionHeads * c.AttentionHeadDim }

// Limits of a configuration's values, far above any published model's. They keep products of a few
// values within an int, and a damaged file from asking for absurd amounts of memory.
const (
	widthLimit = 1 << 17
	countLimit = 1 << 10
)

// readTransformer reads transformer/config.json. A key that is absent has the default of the
// constructor of WanTransformer3DModel. Whatever the class can do and this program cannot, such as
// image conditioning, is an error that names the key.
func readTransformer(s *settings) TransformerConfig {
	s.must("_class_name", `"WanTransformer3DModel"`)
	patch := wholes(s, "patch_size", []whole{1, 2, 2}, 3, 1, 16)
	c := TransformerConfig{
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
	c.OutChannels = s.intOr("out_channels", 16, c.InChannels, 1, countLimit)

	s.must("qk_norm", `"rms_norm_across_heads"`)
	for _, k := range []string{"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"} {
		s.must(k, "null")
	}

	// Limits that depend on how values are used, and so are not in the ranges above.
	if c.AttentionHeadDim%2 != 0 {
		s.fail("attention_head_dim", "an even number, which rotary positions need")
	}
	if c.FreqDim%2 != 0 {
		s.fail("freq_dim", "an even number")
	}
	if c.OutChannels != c.InChannels {
		s.fail("out_channels", fmt.Sprintf("%d, as in_channels", c.InChannels))
	}

	// The stored type of the weights is read from their files, not from here.
	s.skip("torch_dtype", "dtype")
	return c
}

// Shapes lists the weights of a transformer under the names that diffusers gives them.
func (c TransformerConfig) Shapes() Shapes {
	d, p := c.Dim(), c.PatchSize
	s := Shapes{}

	// The latent is cut into patches by a convolution whose stride is its kernel.
	s.linear("patch_embedding", d, c.InChannels, p[0], p[1], p[2])

	// Timestep and text: a perceptron of two layers each. time_proj turns the timestep into six
	// vectors for every block: shift, scale and gate of its attention and of its feed-forward.
	const cond = "condition_embedder."
	s.linear(cond+"time_embedder.linear_1", d, c.FreqDim)
	s.linear(cond+"time_embedder.linear_2", d, d)
	s.linear(cond+"time_proj", 6*d, d)
	s.linear(cond+"text_embedder.linear_1", d, c.TextDim)
	s.linear(cond+"text_embedder.linear_2", d, d)

	for i := range c.NumLayers {
		s.transformerBlock(c, fmt.Sprintf("blocks.%d.", i))
	}

	s.vaceBlocks(c)

	// After the blocks: shift and scale of the last norm, and the projection back to patches.
	s["scale_shift_table"] = tensor.Shape{1, 2, d}
	s.linear("proj_out", p[0]*p[1]*p[2]*c.OutChannels, d)
	return s
}

// vaceBlocks adds the weights of the control blocks: those of other blocks, and projections from
// and to the stream of the latent.
func (s Shapes) vaceBlocks(c TransformerConfig) {
	if len(c.VaceLayers) == 0 {
		return
	}
	d, p := c.Dim(), c.PatchSize
	s.linear("vace_patch_embedding", d, c.VaceInChannels, p[0], p[1], p[2])
	s.linear("vace_blocks.0.proj_in", d, d)
	for k := range c.VaceLayers {
		at := fmt.Sprintf("vace_blocks.%d.", k)
		s.transformerBlock(c, at)
		s.linear(at+"proj_out", d, d)
	}
}

// transformerBlock adds the weights of the block whose names begin with at.
func (s Shapes) transformerBlock(c TransformerConfig, at string) {
	d := c.Dim()
	s[at+"scale_shift_table"] = tensor.Shape{1, 6, d}

	// attn1 is self-attention, attn2 cross-attention to the text. Their norms span all heads.
	for _, attn := range []string{at + "attn1.", at + "attn2."} {
		for _, q := range []string{"to_q", "to_k", "to_v", "to_out.0"} {
			s.linear(attn+q, d, d)
		}
		s[attn+"norm_q.weight"], s[attn+"norm_k.weight"] = tensor.Shape{d}, tensor.Shape{d}
	}

	s.linear(at+"ffn.net.0.proj", c.FFNDim, d)
	s.linear(at+"ffn.net.2", d, c.FFNDim)
	if c.CrossAttnNorm {
		s[at+"norm2.weight"], s[at+"norm2.bias"] = tensor.Shape{d}, tensor.Shape{d}
	}
}
