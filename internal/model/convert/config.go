package convert

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/userfile"
)

// object is a configuration, as JSON has it.
type object map[string]any

// headDim is the width of a head in every published Wan model.
const headDim = 128

// shapes are those of a component's weights under diffusers' names.
type shapes map[string]tensor.Shape

// dim returns one dimension of a weight, or an error that names the weight.
func (s shapes) dim(name string, axis int) (int, error) {
	if len(s[name]) <= axis || s[name][axis] < 1 {
		return 0, fmt.Errorf("weight %s is missing, or has another form than Wan's: %v", name, s[name])
	}
	return s[name][axis], nil
}

// count returns how many blocks a list of modules has: the least number whose weight is missing.
func (s shapes) count(format string) int {
	n := 0
	for s[fmt.Sprintf(format, n)] != nil {
		n++
	}
	return n
}

// reader collects the first error of several looks at shapes.
type reader struct {
	shapes
	err error
}

func (r *reader) of(name string, axis int) int {
	n, err := r.dim(name, axis)
	if r.err == nil {
		r.err = err
	}
	return max(n, 1)
}

// transformerConfig derives a transformer's configuration from its shapes; heads is what the caller
// knows of them, or 0: those of published models.
func transformerConfig(s shapes, heads int) (object, error) {
	r := &reader{shapes: s}
	const cond = "condition_embedder."
	d := r.of("patch_embedding.weight", 0)
	patch := []int{r.of("patch_embedding.weight", 2), r.of("patch_embedding.weight", 3),
		r.of("patch_embedding.weight", 4)}

	if heads == 0 && d%headDim == 0 {
		heads = d / headDim
	}
	if heads < 1 || d%heads != 0 {
		return nil, fmt.Errorf("heads is %d; allowed: a divisor of the transformer's width, %d (--heads)",
			heads, d)
	}

	c := object{"_class_name": "WanTransformer3DModel", "patch_size": patch,
		"num_attention_heads": heads, "attention_head_dim": d / heads,
		"in_channels":     r.of("patch_embedding.weight", 1),
		"out_channels":    r.of("proj_out.weight", 0) / (patch[0] * patch[1] * patch[2]),
		"text_dim":        r.of(cond+"text_embedder.linear_1.weight", 1),
		"freq_dim":        r.of(cond+"time_embedder.linear_1.weight", 1),
		"ffn_dim":         r.of("blocks.0.ffn.net.0.proj.weight", 0),
		"num_layers":      s.count("blocks.%d.scale_shift_table"),
		"cross_attn_norm": s["blocks.0.norm2.weight"] != nil, "qk_norm": "rms_norm_across_heads",
		"eps": 1e-6, "rope_max_seq_len": 1024, "image_dim": nil, "added_kv_proj_dim": nil,
		"pos_embed_seq_len": nil}

	if s[cond+"image_embedder.norm1.weight"] != nil {
		c["image_dim"], c["added_kv_proj_dim"] = r.of(cond+"image_embedder.norm1.weight", 0), d
		if s[cond+"image_embedder.pos_embed"] != nil {
			c["pos_embed_seq_len"] = r.of(cond+"image_embedder.pos_embed", 1)
		}
	}

	// VACE's blocks belong to layers in equal distances.
	if n := s.count("vace_blocks.%d.scale_shift_table"); n > 0 {
		layers, total := make([]int, n), c["num_layers"].(int)
		apart := (total + n - 1) / n
		if apart*(n-1) >= total {
			apart = total / n
		}
		for i := range layers {
			layers[i] = i * apart
		}
		c["_class_name"], c["vace_layers"] = "WanVACETransformer3DModel", layers
		c["vace_in_channels"] = r.of("vace_patch_embedding.weight", 1)
	}
	return c, r.err
}

// textEncoderConfig derives that of UMT5.
func textEncoderConfig(s shapes) (object, error) {
	r := &reader{shapes: s}
	const first = "encoder.block.0.layer."
	heads := r.of(first+"0.SelfAttention.relative_attention_bias.weight", 1)
	c := object{"architectures": []string{"UMT5EncoderModel"}, "model_type": "umt5",
		"vocab_size": r.of("shared.weight", 0), "d_model": r.of("shared.weight", 1),
		"d_ff":      r.of(first+"1.DenseReluDense.wi_0.weight", 0),
		"d_kv":      r.of(first+"0.SelfAttention.q.weight", 0) / heads,
		"num_heads": heads, "num_layers": s.count("encoder.block.%d.layer.0.layer_norm.weight"),
		"relative_attention_num_buckets": r.of(
			first+"0.SelfAttention.relative_attention_bias.weight", 0),
		"relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
		"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new", "is_gated_act": true,
		"is_encoder_decoder": true, "tie_word_embeddings": false}
	return c, r.err
}

// vaeConfig derives that of a VAE: Wan 2.2's takes patches of pixels, and so more than 3 channels.
func vaeConfig(s shapes) (object, error) {
	r := &reader{shapes: s}
	const multiplier = 4 // of the innermost block, in dim_mult
	z, in := r.of("post_quant_conv.weight", 0), r.of("encoder.conv_in.weight", 1)
	c := object{"_class_name": "AutoencoderKLWan", "z_dim": z,
		"base_dim": r.of("encoder.conv_in.weight", 0),
		"dim_mult": []int{1, 2, 4, multiplier}, "num_res_blocks": 2, "attn_scales": []float64{},
		"temperal_downsample": []bool{false, true, true}, "dropout": 0.0}
	if r.err != nil || in == 3 {
		return c, r.err
	}

	if in != 12 || z != len(wan22Mean) {
		return nil, fmt.Errorf("the VAE takes %d channels and has a latent of %d; allowed: 3, or 12 "+
			"and %d", in, z, len(wan22Mean))
	}
	for k, v := range (object{"is_residual": true, "in_channels": in, "out_channels": in,
		"patch_size": 2, "scale_factor_spatial": 16, "scale_factor_temporal": 4,
		"decoder_base_dim": r.of("decoder.conv_in.weight", 0) / multiplier,
		"latents_mean":     wan22Mean, "latents_std": wan22Std}) {
		c[k] = v
	}
	return c, r.err
}

// pipeline writes model_index.json and the scheduler's configuration: which Wan it is follows from
// the transformer. experts are the transformers that there are; two is whether the model has two,
// of which one may be elsewhere.
func pipeline(t object, experts []string, two bool) (index, scheduler object) {
	in, out := t["in_channels"].(int), t["out_channels"].(int)
	class, boundary, shift := "WanPipeline", 0.875, 3.0
	switch {
	case t["vace_layers"] != nil:
		class = "WanVACEPipeline"
	case in != out:
		class, boundary = "WanImageToVideoPipeline", 0.9
	}
	if t["pos_embed_seq_len"] != nil {
		shift = 16
	}

	tokens := out == len(wan22Mean) // TI2V-5B
	if tokens {
		shift = 5
	}
	none := []any{nil, nil}
	index = object{"_class_name": class, "boundary_ratio": nil,
		"scheduler":    []string{"diffusers", "UniPCMultistepScheduler"},
		"text_encoder": []string{"transformers", "UMT5EncoderModel"},
		"tokenizer":    []string{"transformers", "T5TokenizerFast"},
		"vae":          []string{"diffusers", "AutoencoderKLWan"}, transformer: none, second: none}
	if class != "WanVACEPipeline" {
		index["expand_timesteps"] = tokens
	}
	for _, e := range experts {
		index[e] = []any{"diffusers", t["_class_name"]}
	}
	if two {
		index["boundary_ratio"] = boundary
	}
	if t["image_dim"] != nil {
		index["image_encoder"] = []string{"transformers", "CLIPVisionModel"}
		index["image_processor"] = []string{"transformers", "CLIPImageProcessor"}
	}

	scheduler = object{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
		"use_flow_sigmas": true, "num_train_timesteps": 1000, "flow_shift": shift,
		"solver_order": 2, "solver_type": "bh2"}
	return index, scheduler
}

// nativeHeads reads the number of heads from a config.json of Wan's beside a file of weights; 0
// where there is none.
func nativeHeads(file string) int {
	var c struct {
		Heads int `json:"num_heads"`
	}
	const limit = 1 << 20
	data, err := userfile.Read(filepath.Join(filepath.Dir(file), "config.json"), limit)
	if err != nil || json.Unmarshal(data, &c) != nil || c.Heads < 0 || c.Heads > 1<<10 {
		return 0
	}
	return c.Heads
}

// writeJSON writes a configuration into a folder that it creates.
func writeJSON(c object, elem ...string) error {
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// ofNoise says from a path which expert its weights are: published files have high_noise or
// low_noise in their names or folders.
func ofNoise(path string) (expert string, known bool) {
	switch p := strings.ToLower(filepath.ToSlash(path)); {
	case strings.Contains(p, "high_noise") || strings.Contains(p, "highnoise"):
		return transformer, true
	case strings.Contains(p, "low_noise") || strings.Contains(p, "lownoise"):
		return second, true
	}
	return transformer, false
}
