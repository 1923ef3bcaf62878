package lora

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/model"
)

// original spells a layer as Wan's own repositories do, from diffusers' name.
var original = strings.NewReplacer(
	"condition_embedder.time_embedder.linear_1", "time_embedding.0",
	"condition_embedder.time_embedder.linear_2", "time_embedding.2",
	"condition_embedder.time_proj", "time_projection.1",
	"condition_embedder.text_embedder.linear_1", "text_embedding.0",
	"condition_embedder.text_embedder.linear_2", "text_embedding.2",
	"condition_embedder.image_embedder.norm1", "img_emb.proj.0",
	"condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1",
	"condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3",
	"condition_embedder.image_embedder.norm2", "img_emb.proj.4",
	".norm2", ".norm3",
	"attn1.", "self_attn.", "attn2.", "cross_attn.",
	"norm_added_k", "norm_k_img", "add_k_proj", "k_img", "add_v_proj", "v_img",
	"to_q", "q", "to_k", "k", "to_v", "v", "to_out.0", "o",
	"ffn.net.0.proj", "ffn.0", "ffn.net.2", "ffn.2",
	".scale_shift_table", ".modulation",
)

// layerNames maps every name that a layer of the architecture may have in a file, without prefix
// and suffix, to diffusers' name: that itself, the original one, and both with underscores in place
// of dots, as kohya's trainers write them.
func layerNames(shapes model.Shapes) map[string]string {
	names := map[string]string{}
	for weight := range shapes {
		layer := strings.TrimSuffix(strings.TrimSuffix(weight, ".weight"), ".bias")
		for _, name := range []string{layer, originalName(layer)} {
			names[name], names[strings.ReplaceAll(name, ".", "_")] = layer, layer
		}
	}
	return names
}

// originalName is the name of a layer in Wan's own repositories.
func originalName(layer string) string {
	switch {
	case layer == "proj_out":
		return "head.head"
	case layer == "scale_shift_table":
		return "head.modulation"
	case strings.HasPrefix(layer, "vace_blocks.") && strings.HasSuffix(layer, ".proj_out"):
		return strings.TrimSuffix(layer, "proj_out") + "after_proj"
	case strings.HasPrefix(layer, "vace_blocks.") && strings.HasSuffix(layer, ".proj_in"):
		return strings.TrimSuffix(layer, "proj_in") + "before_proj"
	}
	return original.Replace(layer)
}

// prefixes are what names begin with in files, by their writers; the longest first.
var prefixes = []string{"base_model.model.transformer.", "base_model.model.",
	"model.diffusion_model.", "diffusion_model.", "transformer_2.", "transformer.", "lora_unet_"}

// part says what a tensor is of its layer's change.
type part int

const (
	down    part = iota // A [rank, in]
	up                  // B [out, rank]
	alpha               // one number; the change is times alpha / rank
	bias                // to be added to the bias [out]
	full                // to be added to the weight, of its shape
	table               // to be added to a block's modulation
	dropped             // of a kind that is left out with a notice
)

// suffixes are what names end with, and what the tensor then is.
var suffixes = []struct {
	text string
	part part
}{
	{".lora_A.weight", down}, {".lora_A.default.weight", down}, {".lora_down.weight", down},
	{".lora.down.weight", down}, {".lora_A", down},
	{".lora_B.weight", up}, {".lora_B.default.weight", up}, {".lora_up.weight", up},
	{".lora.up.weight", up}, {".lora_B", up},
	{".lora_B.bias", bias}, {".lora_B.default.bias", bias}, {".diff_b", bias},
	{".alpha", alpha}, {".diff", full}, {".diff_m", table},
	{".dora_scale", dropped}, {".lora_magnitude_vector", dropped},
	{".lora_magnitude_vector.weight", dropped},
}

// parse takes a tensor's name apart. ok is false where its end says nothing.
func parse(name string) (layer string, p part, ok bool) {
	for _, s := range suffixes {
		layer, ok = strings.CutSuffix(name, s.text)
		if ok {
			p = s.part
			break
		}
	}

	for _, prefix := range prefixes {
		if rest, found := strings.CutPrefix(layer, prefix); found {
			layer = rest
			break
		}
	}
	if p == table {
		layer += ".modulation"
	}
	return layer, p, ok
}

// blockPattern finds the number of a block in a layer's name, in any layout.
var blockPattern = regexp.MustCompile(`^(vace_)?blocks[._](\d{1,6})[._]`)

// blockOf returns the number of the block that a layer is in, and whether it is in one.
func blockOf(layer string) (int, bool) {
	m := blockPattern.FindStringSubmatch(layer)
	if m == nil || m[1] != "" {
		return 0, false
	}
	n, err := strconv.Atoi(m[2])
	return n, err == nil
}

// ofImages reports whether a layer reads the tokens of a picture. A model without such tokens has
// no such layer, and its change can be left out.
func ofImages(layer string) bool {
	for _, s := range []string{"k_img", "v_img", "img_emb", "add_k_proj", "add_v_proj",
		"image_embedder", "norm_added_k"} {
		if strings.Contains(layer, s) {
			return true
		}
	}
	return false
}
