package model

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// ImageEncoderConfig is the configuration of transformers' CLIPVisionModel, with its field names in
// Go's spelling. Wan 2.1's image-to-video models have a ViT-H/14.
type ImageEncoderConfig struct {
	HiddenSize        int     // width of an embedding
	IntermediateSize  int     // hidden width of the feed-forward
	NumHiddenLayers   int     // of which the transformer sees what the last but one makes
	NumAttentionHeads int     // HiddenSize is a multiple of it
	ImageSize         int     // pixels of each side
	PatchSize         int     // pixels of each side of a patch
	LayerNormEps      float32 // added to the variance in every norm
}

// Tokens returns the embeddings of a picture: one for each patch, and one for the whole.
func (c ImageEncoderConfig) Tokens() int {
	side := c.ImageSize / c.PatchSize
	return side*side + 1
}

// readImageEncoder reads image_encoder/config.json, with the defaults of CLIPVisionConfig.
func readImageEncoder(s *settings) ImageEncoderConfig {
	s.must("model_type", `"clip_vision_model"`)
	s.must("num_channels", "3")
	if s.must("hidden_act", `"gelu"`); s.raw["hidden_act"] == nil {
		s.fail("hidden_act", `"gelu"`) // the class's own default is another one
	}
	c := ImageEncoderConfig{
		HiddenSize:        s.int("hidden_size", 768, 1, widthLimit),
		IntermediateSize:  s.int("intermediate_size", 3072, 1, widthLimit),
		NumHiddenLayers:   s.int("num_hidden_layers", 12, 2, countLimit),
		NumAttentionHeads: s.int("num_attention_heads", 12, 1, countLimit),
		ImageSize:         s.int("image_size", 224, 1, 1<<12),
		PatchSize:         s.int("patch_size", 32, 1, 1<<12),
		LayerNormEps:      float32(s.float("layer_norm_eps", 1e-5, 0, 1)),
	}

	if c.HiddenSize%c.NumAttentionHeads != 0 {
		s.fail("num_attention_heads", fmt.Sprintf("a divisor of hidden_size, %d", c.HiddenSize))
	}
	if c.PatchSize > c.ImageSize {
		s.fail("patch_size", fmt.Sprintf("up to image_size, %d", c.ImageSize))
	}
	s.skip(unusedByImageEncoders...)
	return c
}

// unusedByImageEncoders are keys that transformers writes and an encoder does not read.
var unusedByImageEncoders = strings.Fields(`architectures attention_dropout dropout dtype
	initializer_factor initializer_range projection_dim torch_dtype transformers_version`)

// Shapes lists the weights of an image encoder under the names that transformers gives them.
func (c ImageEncoderConfig) Shapes() Shapes {
	d, s := c.HiddenSize, Shapes{}
	norm := func(name string) { s[name+".weight"], s[name+".bias"] = tensor.Shape{d}, tensor.Shape{d} }

	s["embeddings.class_embedding"] = tensor.Shape{d}
	s["embeddings.patch_embedding.weight"] = tensor.Shape{d, 3, c.PatchSize, c.PatchSize}
	s["embeddings.position_embedding.weight"] = tensor.Shape{c.Tokens(), d}
	norm("pre_layrnorm") // transformers' spelling
	for i := range c.NumHiddenLayers {
		at := fmt.Sprintf("encoder.layers.%d.", i)
		for _, q := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			s.linear(at+"self_attn."+q, d, d)
		}
		norm(at + "layer_norm1")
		norm(at + "layer_norm2")
		s.linear(at+"mlp.fc1", c.IntermediateSize, d)
		s.linear(at+"mlp.fc2", d, c.IntermediateSize)
	}
	norm("post_layernorm")
	return s
}
