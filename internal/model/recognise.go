package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// Common mistakes get an error that says what a file or folder is and what to do next, instead of
// what it lacks: downloads of other layouts, other kinds of models, unfinished downloads.

// convert is the advice for files in the layout of Wan's own repositories.
const convert = "take the -Diffusers repository of the model, or convert it with " +
	"longtake model convert"

// needed ends errors about folders that hold something else.
const needed = "a folder of a Wan model as Hugging Face diffusers writes it is needed"

// notFolder says what a path is that is not a folder.
func notFolder(name string, err error) error {
	if err != nil {
		return errors.New("there is no such folder")
	}
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt":
		return fmt.Errorf("it is a single %s file, without the configurations and the other parts; %s",
			ext, needed)
	}
	return fmt.Errorf("it is a file; %s", needed)
}

// noIndex says what a folder is that has no model_index.json, by what else it has.
func (f *Folder) noIndex() error {
	// Glob only fails on malformed patterns, and all of these are constants.
	has := func(pattern string) bool {
		found, _ := fs.Glob(f.fsys, pattern)
		return len(found) > 0
	}

	switch {
	case has("Wan*_VAE.pth") || has("models_t5_*"):
		return fmt.Errorf("it has the layout of Wan's original repositories; %s", convert)
	case has("snapshots/*/model_index.json"):
		found, _ := fs.Glob(f.fsys, "snapshots/*/model_index.json")
		return fmt.Errorf("it is an entry of a download cache; the model is in its folder %s",
			path.Dir(found[len(found)-1]))
	case has("*/model_index.json"):
		found, _ := fs.Glob(f.fsys, "*/model_index.json")
		return fmt.Errorf("it has no model_index.json; its folder %s has one", path.Dir(found[0]))
	case has("config.json") && has("*.safetensors*"):
		return fmt.Errorf("it has no model_index.json, so it is one part of a model; the folder that "+
			"holds all parts is needed: %s", needed)
	case has("*.gguf"):
		return fmt.Errorf("it has no model_index.json but a GGUF file, which is not supported; %s",
			needed)
	}
	return fmt.Errorf("it has no model_index.json; %s", needed)
}

// noWeights says what a component's folder has in place of its weights. names are its entries.
func noWeights(dir, stem string, names []string) error {
	// The most specific cause first: part of a download, then another format.
	single := stem + ".safetensors"
	lacks := fmt.Sprintf("%s holds neither %s nor %s.index.json", dir, single, single)
	first := func(suffixes ...string) string {
		i := slices.IndexFunc(names, func(n string) bool {
			return slices.ContainsFunc(suffixes, func(s string) bool {
				return strings.HasSuffix(strings.ToLower(n), s)
			})
		})
		if i < 0 {
			return ""
		}
		return names[i]
	}

	part := slices.IndexFunc(names, func(n string) bool {
		return strings.HasPrefix(n, stem+"-0") && strings.HasSuffix(n, ".safetensors")
	})
	if part >= 0 {
		return fmt.Errorf("%s but %s: the index is missing; download it", lacks, names[part])
	}

	if n := first(".incomplete", ".aria2", ".crdownload", ".part", ".tmp"); n != "" {
		return fmt.Errorf("%s but %s, an unfinished download; finish it", lacks, n)
	}

	if n := first(".safetensors"); n != "" {
		return fmt.Errorf("%s but %s; if these are the weights, rename it", lacks, n)
	}
	if n := first(".gguf"); n != "" {
		return fmt.Errorf("%s but %s; weights must be safetensors, GGUF is not supported", lacks, n)
	}
	if n := first(".bin", ".pt", ".pth", ".ckpt", ".bin.index.json"); n != "" {
		return fmt.Errorf("%s but %s, a PyTorch pickle; weights must be safetensors: write them with "+
			"save_pretrained(safe_serialization=True) of diffusers or transformers", lacks, n)
	}
	return fmt.Errorf("%s; weights must be safetensors", lacks)
}

// sign is something that a weight's name shows about its file.
type sign struct {
	parts []string // of a weight's name: its end, or anything with dots on both sides
	what  string   // the error, in which the weight's name replaces %s
}

// signs are looked for in this order; the first that any name shows decides.
var signs = []sign{
	{[]string{"scaled_fp8", ".scale_weight", ".weight_scale", ".scale_input", ".input_scale",
		".weight_scale_inv", ".comfy_quant", ".weight_scale_2"}, quantised},
	{[]string{".absmax", ".quant_map", ".SCB", ".quant_state.", ".qweight", ".qzeros", ".g_idx",
		"._data", ".wscales", ".smooth_factor"}, quantised},
	{[]string{".lora_A.", ".lora_B.", ".lora_A", ".lora_up.", ".lora_down.", ".lora_up", ".diff_b"},
		"it is a LoRA (%s), not a whole model; give it with --lora, or as a shard's loras"},
	{[]string{".add_k_proj.", ".image_embedder."},
		"the weights are of an image-to-video model (%s), which the configuration does not say; " +
			"allowed: image_dim, added_kv_proj_dim and an image_encoder as diffusers writes them"},
	{[]string{".self_attn.q.", ".k_img.", ".img_emb.", ".text_embedding.0.", ".time_projection.1.",
		".head.head.", ".downsamples.0.", ".upsamples.0.", ".token_embedding.", ".blocks.0.attn.q."},
		"the weights are named as in Wan's original files (%s); " + convert},
}

const quantised = "the weights are quantised (%s), which is not supported; " +
	"allowed: F32, BF16 or F16 without scales, as longtake model convert writes of fp8"

// recognise says what the weights are if they belong to another kind of file, and nil if that
// cannot be told.
func (w *Weights) recognise() error {
	// In alphabetical order, so that the same folder always gives the same error.
	names := sortedKeys(w.tensors)
	for _, s := range signs {
		// Types of 8 bits under the right names are quantised too, without scales.
		for _, n := range names {
			if slices.ContainsFunc(s.parts, func(p string) bool { return hasPart(n, p) }) {
				return fmt.Errorf("%s: "+s.what, w.component, n)
			}
		}
	}
	for _, n := range names {
		if t := w.tensors[n].DType; w.Listed(n) && (t == tensor.F8E4M3 || t == tensor.F8E5M2) {
			return fmt.Errorf("%s: "+quantised, w.component, fmt.Sprintf("%s is %v", n, t))
		}
	}

	// The right names after a prefix are another program's file of the same model.
	prefix, n := w.prefix()
	switch {
	case prefix == "":
		return nil
	case strings.HasSuffix(prefix, "diffusion_model."):
		return fmt.Errorf("%s: the names of %d weights begin with %q, as in a single file of ComfyUI; %s",
			w.component, n, prefix, convert)
	}
	return fmt.Errorf("%s: the names of %d weights begin with %q; allowed: as diffusers writes them, "+
		"without it", w.component, n, prefix)
}

// hasPart reports whether a name contains a part of a sign. A part that ends in a dot may be
// anywhere; others have to end the name.
func hasPart(name, part string) bool {
	name = "." + name
	if strings.HasSuffix(part, ".") {
		return strings.Contains(name, part)
	}
	return strings.HasSuffix(name, part) && (part[0] == '.' || name == "."+part)
}

// prefix finds the prefix that the names of more than half of the listed weights have in the files,
// and for how many it fits; "" if there is none.
func (w *Weights) prefix() (prefix string, n int) {
	// Every suffix of a name that follows a dot and is listed counts for its prefix.
	count := map[string]int{}
	for name := range w.tensors {
		// After each dot in turn, what follows may be a listed name.
		for at := strings.IndexByte(name, '.'); at >= 0; {
			if w.Listed(name[at+1:]) {
				count[name[:at+1]]++
			}
			next := strings.IndexByte(name[at+1:], '.')
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}

	for p, c := range count {
		if 2*c > len(w.shapes) {
			return p, c
		}
	}
	return "", 0
}
