package convert

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The folders of a diffusers model that weights belong to.
const (
	transformer = "transformer"
	textEncoder = "text_encoder"
	vae         = "vae"
)

// prefixes are what single files put in front of the names of a component's weights.
var prefixes = []struct{ prefix, component string }{
	{"model.diffusion_model.", transformer}, {"diffusion_model.", transformer},
	{"first_stage_model.", vae},
	{"text_encoders.umt5xxl.transformer.", textEncoder},
	{"cond_stage_model.umt5xxl.transformer.", textEncoder},
}

// marks are weights that only one component has, under its names without a prefix.
var marks = []struct{ mark, component string }{
	{"patch_embedding.weight", transformer}, {"condition_embedder.time_proj.weight", transformer},
	{"token_embedding.weight", textEncoder}, {"shared.weight", textEncoder},
	{"encoder.embed_tokens.weight", textEncoder},
	{"decoder.conv1.weight", vae}, {"decoder.conv_in.weight", vae},
}

// split takes the prefix off a weight's name and says which component it is of; "" where there is
// none, and the file's other weights have to tell.
func split(name string) (component, rest string) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok {
			return p.component, rest
		}
	}
	return "", name
}

// bare finds the component of the weights that have no prefix, by a weight that only it has.
func bare(names []string) string {
	has := map[string]bool{}
	for _, n := range names {
		has[n] = true
	}
	for _, m := range marks {
		if has[m.mark] {
			return m.component
		}
	}
	return ""
}

// rename returns the name that diffusers, or transformers, gives a weight of Wan's original files.
// Names that are theirs already stay. It is "" for what has no place in a folder, such as a
// tokenizer within the weights.
func rename(component, name string) string {
	switch component {
	case transformer:
		return transformerName(name)
	case textEncoder:
		return textEncoderName(name)
	}
	return vaeName(name)
}

// The modules of a transformer that are outside of its blocks, and what follows a block's number.
// They are those of scripts/convert_wan_to_diffusers.py.
var (
	outer = strings.NewReplacer(
		"time_embedding.0.", "condition_embedder.time_embedder.linear_1.",
		"time_embedding.2.", "condition_embedder.time_embedder.linear_2.",
		"text_embedding.0.", "condition_embedder.text_embedder.linear_1.",
		"text_embedding.2.", "condition_embedder.text_embedder.linear_2.",
		"time_projection.1.", "condition_embedder.time_proj.",
		"img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed",
		"img_emb.proj.0.", "condition_embedder.image_embedder.norm1.",
		"img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj.",
		"img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2.",
		"img_emb.proj.4.", "condition_embedder.image_embedder.norm2.",
		"head.modulation", "scale_shift_table", "head.head.", "proj_out.")
	inner = strings.NewReplacer(
		"self_attn.", "attn1.", "cross_attn.", "attn2.", "modulation", "scale_shift_table",
		"ffn.0.", "ffn.net.0.proj.", "ffn.2.", "ffn.net.2.", "norm3.", "norm2.",
		"before_proj.", "proj_in.", "after_proj.", "proj_out.")
	projections = strings.NewReplacer(".norm_k_img.", ".norm_added_k.", ".k_img.", ".add_k_proj.",
		".v_img.", ".add_v_proj.", ".q.", ".to_q.", ".k.", ".to_k.", ".v.", ".to_v.",
		".o.", ".to_out.0.")
	inBlock = regexp.MustCompile(`^((?:vace_)?blocks\.\d+\.)(.*)$`)
)

func transformerName(name string) string {
	m := inBlock.FindStringSubmatch(name)
	switch {
	case m == nil:
		return outer.Replace(name)
	case strings.HasPrefix(m[2], "attn") || strings.HasPrefix(m[2], "norm2.") ||
		strings.HasPrefix(m[2], "ffn.net."):
		return name
	}
	return m[1] + projections.Replace(inner.Replace(m[2]))
}

// umt5 has what follows a block's number in Wan's files of UMT5.
var umt5 = strings.NewReplacer(
	"norm1.", "layer.0.layer_norm.", "norm2.", "layer.1.layer_norm.",
	"attn.", "layer.0.SelfAttention.", "ffn.gate.0.", "layer.1.DenseReluDense.wi_0.",
	"ffn.fc1.", "layer.1.DenseReluDense.wi_1.", "ffn.fc2.", "layer.1.DenseReluDense.wo.",
	"pos_embedding.embedding.", "layer.0.SelfAttention.relative_attention_bias.")

func textEncoderName(name string) string {
	switch {
	case name == "spiece_model" || name == "lm_head.weight" || strings.HasPrefix(name, "decoder."):
		return ""
	case name == "token_embedding.weight" || name == "encoder.embed_tokens.weight":
		return "shared.weight"
	case name == "norm.weight":
		return "encoder.final_layer_norm.weight"
	}
	if m := inBlock.FindStringSubmatch(name); m != nil {
		return "encoder.block." + strings.TrimPrefix(m[1], "blocks.") + umt5.Replace(m[2])
	}
	return name
}

// The parts of a VAE that have one name each, and those of a residual block.
var (
	vaeParts = strings.NewReplacer(
		"coder.conv1.", "coder.conv_in.", "coder.head.0.", "coder.norm_out.",
		"coder.head.2.", "coder.conv_out.", "coder.middle.0.", "coder.mid_block.resnets.0.",
		"coder.middle.1.", "coder.mid_block.attentions.0.",
		"coder.middle.2.", "coder.mid_block.resnets.1.")
	residual = strings.NewReplacer("residual.0.", "norm1.", "residual.2.", "conv1.",
		"residual.3.", "norm2.", "residual.6.", "conv2.", "shortcut.", "conv_shortcut.")
	// Wan 2.1 numbers layers through, Wan 2.2 has a block's number before each.
	flat   = regexp.MustCompile(`^(encoder\.down|decoder\.up)samples\.(\d+)\.(\D.*)$`)
	nested = regexp.MustCompile(
		`^(encoder\.down|decoder\.up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\.(.*)$`)
)

// residualsOfBlock is how many residuals a block of Wan 2.1's decoder has, one more than one of the
// encoder; the layer behind them makes the picture larger.
const residualsOfBlock = 3

func vaeName(name string) string {
	if rest, ok := strings.CutPrefix(name, "conv1."); ok {
		return "quant_conv." + rest
	}
	if rest, ok := strings.CutPrefix(name, "conv2."); ok {
		return "post_quant_conv." + rest
	}

	// Wan 2.2: encoder.downsamples.1.downsamples.2.resample becomes encoder.down_blocks.1.downsampler.
	if m := nested.FindStringSubmatch(name); m != nil {
		at := fmt.Sprintf("%s_blocks.%s.", m[1], m[2])
		if strings.HasPrefix(m[4], "resample.") || strings.HasPrefix(m[4], "time_conv.") {
			return at + strings.TrimPrefix(m[1][len("encoder."):], ".") + "sampler." + m[4]
		}
		return at + "resnets." + m[3] + "." + residual.Replace(m[4])
	}

	// Wan 2.1: the encoder's layers keep their numbers, the decoder's come in blocks.
	m := flat.FindStringSubmatch(name)
	switch {
	case m == nil:
		if name = vaeParts.Replace(name); strings.Contains(name, "residual.") {
			name = residual.Replace(name)
		}
		return name
	case m[1] == "encoder.down":
		return "encoder.down_blocks." + m[2] + "." + residual.Replace(m[3])
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return name
	}
	block, layer := n/(residualsOfBlock+1), n%(residualsOfBlock+1)
	if layer == residualsOfBlock {
		return fmt.Sprintf("decoder.up_blocks.%d.upsamplers.0.%s", block, m[3])
	}
	return fmt.Sprintf("decoder.up_blocks.%d.resnets.%d.%s", block, layer, residual.Replace(m[3]))
}
