package model

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// TextEncoderConfig is the configuration of transformers' UMT5EncoderModel, with its field names in
// Go's spelling. What the file has beyond these is for training and for decoders.
type TextEncoderConfig struct {
	VocabSize                    int     // token ids
	DModel                       int     // width of an embedding
	DKV                          int     // width of a head
	DFF                          int     // hidden width of the feed-forward
	NumLayers                    int     // blocks of attention and feed-forward
	NumHeads                     int     // heads · DKV need not be DModel
	RelativeAttentionNumBuckets  int     // for both directions together; a multiple of 4
	RelativeAttentionMaxDistance int     // in tokens; all greater ones share a bucket
	LayerNormEpsilon             float32 // added to the mean square in every norm
}

// readTextEncoder reads the keys that matter to an encoder. transformers writes many more into its
// files, for training, generation and decoders; those are skipped.
func readTextEncoder(s *settings) TextEncoderConfig {
	s.must("model_type", `"umt5"`)
	s.must("feed_forward_proj", `"gated-gelu"`)
	s.must("dense_act_fn", `"gelu_new"`)
	s.must("is_gated_act", "true")
	s.must("scalable_attention", "true", "false", "null") // changes nothing in the encoder
	c := TextEncoderConfig{
		VocabSize:                    s.int("vocab_size", 250112, 1, 1<<24),
		DModel:                       s.int("d_model", 512, 1, widthLimit),
		DKV:                          s.int("d_kv", 64, 1, 1024),
		DFF:                          s.int("d_ff", 1024, 1, widthLimit),
		NumLayers:                    s.int("num_layers", 8, 1, countLimit),
		NumHeads:                     s.int("num_heads", 6, 1, countLimit),
		RelativeAttentionNumBuckets:  s.int("relative_attention_num_buckets", 32, 4, 1<<16),
		RelativeAttentionMaxDistance: s.int("relative_attention_max_distance", 128, 2, 1<<20),
		LayerNormEpsilon:             float32(s.float("layer_norm_epsilon", 1e-6, 0, 1)),
	}

	// The class's own default is a plain ReLU, which is not implemented: one key has to say GELU.
	if s.raw["feed_forward_proj"] == nil && s.raw["dense_act_fn"] == nil {
		s.fail("feed_forward_proj", `"gated-gelu"`)
	}

	// Half the buckets are for each direction, and half of those for exact distances.
	if b := c.RelativeAttentionNumBuckets; b%4 != 0 {
		s.fail("relative_attention_num_buckets", "a multiple of 4")
	} else if c.RelativeAttentionMaxDistance <= b/4 {
		s.fail("relative_attention_max_distance", fmt.Sprintf("above %d, a quarter of the buckets", b/4))
	}

	s.alias("hidden_size", c.DModel)
	s.alias("num_attention_heads", c.NumHeads)
	s.alias("num_hidden_layers", c.NumLayers)
	s.alias("head_dim", c.DKV)
	s.skip(unusedByEncoders...)
	return c
}

// unusedByEncoders are keys that transformers writes and an encoder does not read.
var unusedByEncoders = strings.Fields(`architectures bos_token_id chunk_size_feed_forward
	classifier_dropout decoder_start_token_id dropout_rate dtype eos_token_id gradient_checkpointing
	id2label initializer_factor is_decoder is_encoder_decoder label2id max_length model_max_length
	n_positions num_decoder_layers output_past pad_token_id problem_type return_dict
	task_specific_params tie_encoder_decoder tie_word_embeddings tokenizer_class torch_dtype
	transformers_version unk_token_id use_cache`)

// Names of the token embedding [vocab, d]. UMT5 shares one between its encoder and its decoder, and
// files hold it under the first name, under the second, or under both.
const (
	SharedEmbedding = "shared.weight"
	TiedEmbedding   = "encoder.embed_tokens.weight"
)

// Shapes lists the weights of a text encoder, its embedding under SharedEmbedding.
func (c TextEncoderConfig) Shapes() Shapes {
	inner, d := c.NumHeads*c.DKV, c.DModel
	s := Shapes{SharedEmbedding: {c.VocabSize, d}, "encoder.final_layer_norm.weight": {d}}
	for i := range c.NumLayers {
		at := fmt.Sprintf("encoder.block.%d.layer.", i)

		// Layer 0 is self-attention without biases. Each block has a table of relative positions of
		// its own, where T5 has one in its first block alone.
		for _, q := range []string{"q", "k", "v"} {
			s[at+"0.SelfAttention."+q+".weight"] = tensor.Shape{inner, d}
		}
		s[at+"0.SelfAttention.o.weight"] = tensor.Shape{d, inner}
		s[at+"0.SelfAttention.relative_attention_bias.weight"] =
			tensor.Shape{c.RelativeAttentionNumBuckets, c.NumHeads}
		s[at+"0.layer_norm.weight"], s[at+"1.layer_norm.weight"] = tensor.Shape{d}, tensor.Shape{d}

		// Layer 1 is the feed-forward: wi_0 is the gate, wi_1 what it multiplies.
		s[at+"1.DenseReluDense.wi_0.weight"] = tensor.Shape{c.DFF, d}
		s[at+"1.DenseReluDense.wi_1.weight"] = tensor.Shape{c.DFF, d}
		s[at+"1.DenseReluDense.wo.weight"] = tensor.Shape{d, c.DFF}
	}
	return s
}

// rename lists the embedding as the files have it: under its second name as well, or instead.
func (s Shapes) rename(has map[string]tensor.Tensor) {
	// What is listed twice has one shape; a file that holds one name is asked for that one.
	if _, tied := has[TiedEmbedding]; !tied {
		return
	}
	s[TiedEmbedding] = s[SharedEmbedding]
	if _, shared := has[SharedEmbedding]; !shared {
		delete(s, SharedEmbedding)
	}
}
