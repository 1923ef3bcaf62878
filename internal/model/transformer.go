package model

import (
	"fmt"
	"reflect"

	"github.com/longtake/longtake/internal/tensor"
)

// TransformerConfig is the configuration of diffusers' WanTransformer3DModel, or of its
// WanVACETransformer3DModel, with their field names in Go's spelling.
type TransformerConfig struct {
	PatchSize         [3]int  // latent frames, rows, columns of one token
	NumAttentionHeads int     // in self-attention and cross-attention alike
	AttentionHeadDim  int     // columns of a head; even, since rotary positions turn pairs
	InChannels        int     // of what it sees: the latent, then what else the model takes
	OutChannels       int     // of the velocity, and so of the latent
	TextDim           int     // width of the text encoder's embeddings
	FreqDim           int     // width of the timestep's sinusoid; even: cosines and sines
	FFNDim            int     // hidden width of the feed-forward
	NumLayers         int     // transformer blocks
	CrossAttnNorm     bool    // whether a layer norm with weights precedes cross-attention
	Eps               float32 // added to the variance in every norm
	RopeMaxSeqLen     int     // positions on each axis that the model knows

	// Pictures that the cross-attention sees beside the text, in Wan 2.1's image-to-video.
	ImageDim       int // width of the image encoder's embeddings; 0: the model sees none
	AddedKVProjDim int // width of their keys and values' input: Dim, or 0 without ImageDim
	PosEmbedSeqLen int // tokens of two pictures, which have positions; 0: one picture, without

	// Control videos, in VACE: blocks of their own whose results are added to those of VaceLayers.
	VaceLayers     []int // ascending, the first 0; nil: WanTransformer3DModel
	VaceInChannels int   // of the control latents; 0 without VaceLayers
}

// Equal reports whether both ask for the same transformer.
func (c TransformerConfig) Equal(o TransformerConfig) bool { return reflect.DeepEqual(c, o) }

// Dim returns the transformer's width d: that of all heads together.
func (c TransformerConfig) Dim() int { return c.NumAttentionHeads * c.AttentionHeadDim }

// Limits of a configuration's values, far above any published model's. They keep products of a few
// values within an int, and a damaged file from asking for absurd amounts of memory.
const (
	widthLimit = 1 << 17
	countLimit = 1 << 10
)

// readTransformer reads transformer/config.json for a class of pipelines. A key that is absent has
// the default of the constructor of WanTransformer3DModel. Whatever the class can do and this
// program cannot is an error that names the key.
func readTransformer(s *settings, pipeline string) TransformerConfig {
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
		ImageDim:          s.intOr("image_dim", 0, 0, 0, widthLimit),
		AddedKVProjDim:    s.intOr("added_kv_proj_dim", 0, 0, 0, widthLimit),
		PosEmbedSeqLen:    s.intOr("pos_embed_seq_len", 0, 0, 0, 1<<16),
	}
	c.OutChannels = s.intOr("out_channels", 16, c.InChannels, 1, countLimit)
	s.must("qk_norm", `"rms_norm_across_heads"`)

	switch {
	case pipeline == Control:
		s.must("_class_name", `"WanVACETransformer3DModel"`)
		c.readVACE(s)
	case !s.used["_class_name"]: // that of a causal one is checked already
		s.must("_class_name", `"WanTransformer3DModel"`)
	}

	c.check(s)

	// The stored type of the weights is read from their files, not from here.
	s.skip("torch_dtype", "dtype")
	return c
}

// readVACE reads the keys that WanVACETransformer3DModel has in addition.
func (c *TransformerConfig) readVACE(s *settings) {
	layers := []whole{0, 5, 10, 15, 20, 25, 30, 35}
	allowed := fmt.Sprintf("ascending layers of the %d, the first 0", c.NumLayers)
	s.given("vace_layers", &layers, allowed)

	for i, n := range layers {
		if i == 0 && n != 0 || i > 0 && n <= layers[i-1] || int(n) >= c.NumLayers {
			s.fail("vace_layers", allowed)
			break
		}
		c.VaceLayers = append(c.VaceLayers, int(n))
	}
	if len(layers) == 0 {
		s.fail("vace_layers", allowed)
	}
	c.VaceInChannels = s.int("vace_in_channels", 96, 1, countLimit)
}

// check refuses values that do not fit each other.
func (c TransformerConfig) check(s *settings) {
	if c.AttentionHeadDim%2 != 0 {
		s.fail("attention_head_dim", "an even number, which rotary positions need")
	}
	if c.FreqDim%2 != 0 {
		s.fail("freq_dim", "an even number")
	}
	if c.OutChannels > c.InChannels {
		s.fail("out_channels", fmt.Sprintf("up to in_channels, %d", c.InChannels))
	}

	// The embeddings of pictures are projected to the width of the transformer, and from there to
	// keys and values.
	added := 0
	if c.ImageDim > 0 {
		added = c.Dim()
	}
	if c.AddedKVProjDim != added {
		s.fail("added_kv_proj_dim", fmt.Sprintf("%d with image_dim %d", added, c.ImageDim))
	}
	if c.PosEmbedSeqLen%2 != 0 || c.PosEmbedSeqLen > 0 && c.ImageDim == 0 {
		s.fail("pos_embed_seq_len", "null, or with image_dim an even number: the tokens of two pictures")
	}
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
	if c.ImageDim > 0 {
		s.imageEmbedder(c, cond+"image_embedder.")
	}

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

	// Keys and values of pictures, beside those of the text.
	if c.AddedKVProjDim > 0 {
		s.linear(at+"attn2.add_k_proj", d, c.AddedKVProjDim)
		s.linear(at+"attn2.add_v_proj", d, c.AddedKVProjDim)
		s[at+"attn2.norm_added_k.weight"] = tensor.Shape{d}
	}

	s.linear(at+"ffn.net.0.proj", c.FFNDim, d)
	s.linear(at+"ffn.net.2", d, c.FFNDim)
	if c.CrossAttnNorm {
		s[at+"norm2.weight"], s[at+"norm2.bias"] = tensor.Shape{d}, tensor.Shape{d}
	}
}

// imageEmbedder adds the weights that project embeddings of pictures: a perceptron between two
// norms, and positions where there are two pictures (WanImageEmbedding).
func (s Shapes) imageEmbedder(c TransformerConfig, at string) {
	in, d := c.ImageDim, c.Dim()
	s[at+"norm1.weight"], s[at+"norm1.bias"] = tensor.Shape{in}, tensor.Shape{in}
	s.linear(at+"ff.net.0.proj", in, in)
	s.linear(at+"ff.net.2", d, in)
	s[at+"norm2.weight"], s[at+"norm2.bias"] = tensor.Shape{d}, tensor.Shape{d}
	if c.PosEmbedSeqLen > 0 {
		s[at+"pos_embed"] = tensor.Shape{1, c.PosEmbedSeqLen, in}
	}
}
