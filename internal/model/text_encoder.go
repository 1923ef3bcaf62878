package model

import (
	"fmt"
	"strings"
)

// TextEncoder is the configuration of a UMT5EncoderModel.
type TextEncoder struct {
	VocabSize                    int
	DModel                       int
	DKV                          int // width of a head
	DFF                          int
	NumLayers                    int
	NumHeads                     int
	RelativeAttentionNumBuckets  int
	RelativeAttentionMaxDistance int
	LayerNormEpsilon             float32
}

// readTextEncoder reads the keys that matter to an encoder. transformers writes many more into its
// files, for training, generation and decoders; those are skipped.
func readTextEncoder(s *settings) TextEncoder {
	s.must("model_type", `"umt5"`)
	s.must("feed_forward_proj", `"gated-gelu"`)
	s.must("dense_act_fn", `"gelu_new"`)
	s.must("is_gated_act", "true")
	s.must("scalable_attention", "true", "false", "null") // changes nothing in the encoder
	t := TextEncoder{
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
	if s.raw["feed_forward_proj"] == nil && s.raw["dense_act_fn"] == nil {
		s.fail("feed_forward_proj", `"gated-gelu"`)
	}
	if b := t.RelativeAttentionNumBuckets; b%4 != 0 {
		s.fail("relative_attention_num_buckets", "a multiple of 4")
	} else if t.RelativeAttentionMaxDistance <= b/4 {
		s.fail("relative_attention_max_distance", fmt.Sprintf("above %d, a quarter of the buckets", b/4))
	}
	s.alias("hidden_size", t.DModel)
	s.alias("num_attention_heads", t.NumHeads)
	s.alias("num_hidden_layers", t.NumLayers)
	s.alias("head_dim", t.DKV)
	s.skip(unusedByEncoders...)
	return t
}

// unusedByEncoders are keys that transformers writes and an encoder does not read.
var unusedByEncoders = strings.Fields(`architectures bos_token_id chunk_size_feed_forward
	classifier_dropout decoder_start_token_id dropout_rate dtype eos_token_id gradient_checkpointing
	id2label initializer_factor is_decoder is_encoder_decoder label2id max_length model_max_length
	n_positions num_decoder_layers output_past pad_token_id problem_type return_dict
	task_specific_params tie_encoder_decoder tie_word_embeddings tokenizer_class torch_dtype
	transformers_version unk_token_id use_cache`)

// textEncoderWeights lists the shape of every weight; the embedding is under its first name.
func textEncoderWeights(c TextEncoder) shapes {
	inner, d := c.NumHeads*c.DKV, c.DModel
	s := shapes{"shared.weight": {c.VocabSize, d}, "encoder.final_layer_norm.weight": {d}}
	for i := range c.NumLayers {
		at := fmt.Sprintf("encoder.block.%d.layer.", i)
		for _, q := range []string{"q", "k", "v"} {
			s[at+"0.SelfAttention."+q+".weight"] = []int{inner, d}
		}
		s[at+"0.SelfAttention.o.weight"] = []int{d, inner}
		s[at+"0.SelfAttention.relative_attention_bias.weight"] =
			[]int{c.RelativeAttentionNumBuckets, c.NumHeads}
		s[at+"0.layer_norm.weight"], s[at+"1.layer_norm.weight"] = []int{d}, []int{d}
		s[at+"1.DenseReluDense.wi_0.weight"] = []int{c.DFF, d}
		s[at+"1.DenseReluDense.wi_1.weight"] = []int{c.DFF, d}
		s[at+"1.DenseReluDense.wo.weight"] = []int{d, c.DFF}
	}
	return s
}
