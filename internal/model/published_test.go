package model

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Configurations as they are published in Wan-AI/Wan2.1-T2V-{1.3B,14B}-Diffusers.
const (
	publishedIndex = `{"_class_name": "WanPipeline", "_diffusers_version": "0.33.0.dev0",
		"scheduler": ["diffusers", "UniPCMultistepScheduler"],
		"text_encoder": ["transformers", "UMT5EncoderModel"],
		"tokenizer": ["transformers", "T5TokenizerFast"],
		"transformer": ["diffusers", "WanTransformer3DModel"],
		"vae": ["diffusers", "AutoencoderKLWan"]}`
	publishedTransformer = `{"_class_name": "WanTransformer3DModel",
		"_diffusers_version": "0.33.0.dev0", "added_kv_proj_dim": null, "attention_head_dim": 128,
		"cross_attn_norm": true, "eps": 1e-06, "ffn_dim": %d, "freq_dim": 256, "image_dim": null,
		"in_channels": 16, "num_attention_heads": %d, "num_layers": %d, "out_channels": 16,
		"patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
		"text_dim": 4096}`
	publishedTextEncoder = `{"architectures": ["UMT5EncoderModel"], "classifier_dropout": 0.0,
		"d_ff": 10240, "d_kv": 64, "d_model": 4096, "decoder_start_token_id": 0,
		"dense_act_fn": "gelu_new", "dropout_rate": 0.1, "eos_token_id": 1,
		"feed_forward_proj": "gated-gelu", "initializer_factor": 1.0, "is_encoder_decoder": true,
		"is_gated_act": true, "layer_norm_epsilon": 1e-06, "model_type": "umt5",
		"num_decoder_layers": 24, "num_heads": 64, "num_layers": 24, "output_past": true,
		"pad_token_id": 0, "relative_attention_max_distance": 128,
		"relative_attention_num_buckets": 32, "scalable_attention": true,
		"tie_word_embeddings": false, "tokenizer_class": "T5Tokenizer", "torch_dtype": "bfloat16",
		"transformers_version": "4.48.0.dev0", "use_cache": true, "vocab_size": 256384}`
	publishedVAE = `{"_class_name": "AutoencoderKLWan", "attn_scales": [], "base_dim": 96,
		"dim_mult": [1, 2, 4, 4], "dropout": 0.0, "num_res_blocks": 2,
		"temperal_downsample": [false, true, true], "z_dim": 16}`
)

// published reads the shapes that tools/shapes.py wrote, with its ranges of layers written out.
func published(t *testing.T, part string) Shapes {
	t.Helper()
	data, err := os.ReadFile("testdata/published.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]Shapes
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	layers, out := regexp.MustCompile(`\.0-(\d+)\.`), Shapes{}
	for name, shape := range all[part] {
		m := layers.FindStringSubmatch(name)
		if m == nil {
			out[name] = shape
			continue
		}
		last, _ := strconv.Atoi(m[1])
		for i := range last + 1 {
			out[strings.Replace(name, m[0], fmt.Sprintf(".%d.", i), 1)] = shape
		}
	}
	if len(out) == 0 {
		t.Fatalf("no shapes of %s", part)
	}
	return out
}

// synthesise writes a safetensors file whose header is right and whose data is a hole in the file.
func synthesise(t *testing.T, path string, weights Shapes, dtype string, size int) {
	t.Helper()
	header, at := map[string]any{}, 0
	for name, shape := range weights {
		n := size
		for _, d := range shape {
			n *= d
		}
		header[name] = map[string]any{"dtype": dtype, "shape": shape,
			"data_offsets": []int{at, at + n}}
		at += n
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	write(t, path, string(head))
	if err := os.Truncate(path, int64(len(head)+at)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func publishedFolder(t *testing.T, size string, ffn, heads, layers int) string {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"model_index.json":                publishedIndex,
		"transformer/config.json":         fmt.Sprintf(publishedTransformer, ffn, heads, layers),
		"text_encoder/config.json":        publishedTextEncoder,
		"vae/config.json":                 publishedVAE,
		"scheduler/scheduler_config.json": "{}",
		"tokenizer/tokenizer.json":        "{}",
	} {
		write(t, filepath.Join(dir, file), text)
	}
	const stem = "diffusion_pytorch_model.safetensors"
	synthesise(t, filepath.Join(dir, "transformer", stem), published(t, "transformer "+size), "F32", 4)
	synthesise(t, filepath.Join(dir, "vae", stem), published(t, "vae"), "F32", 4)
	synthesise(t, filepath.Join(dir, "text_encoder", "model.safetensors"),
		published(t, "text_encoder"), "BF16", 2)
	return dir
}

func TestThePublishedModelsOpen(t *testing.T) {
	for size, c := range map[string]struct{ ffn, heads, layers int }{
		"1.3B": {8960, 12, 30}, "14B": {13824, 40, 40},
	} {
		t.Run(size, func(t *testing.T) {
			f, err := Open(publishedFolder(t, size, c.ffn, c.heads, c.layers))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.VAE.SpatialScale() != 8 || f.VAE.TemporalScale() != 4 {
				t.Errorf("scales %d and %d; published: 8 and 4", f.VAE.SpatialScale(),
					f.VAE.TemporalScale())
			}
			if d := f.Defaults; d.Sizes[0] != [2]int{832, 480} || d.Frames != 81 || d.Steps != 50 {
				t.Errorf("defaults %+v are not those of WanPipeline", d)
			}
		})
	}
}

func TestTheWrongSizeOfAPublishedModelIsNamed(t *testing.T) {
	_, err := Open(publishedFolder(t, "1.3B", 8960, 12, 31))
	want := "transformer: weight blocks.30.attn1.norm_k.weight [1536] is missing (and 26 more)"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("31 layers: %v; want %q", err, want)
	}
}

func TestAWeightThatThePublishedEncoderLacksIsNamed(t *testing.T) {
	dir, vae := publishedFolder(t, "1.3B", 8960, 12, 30), published(t, "vae")
	delete(vae, "encoder.down_blocks.5.time_conv.weight")
	synthesise(t, filepath.Join(dir, "vae", "diffusion_pytorch_model.safetensors"), vae, "F32", 4)
	_, err := Open(dir)
	want := "vae: weight encoder.down_blocks.5.time_conv.weight [192 192 3 1 1] is missing"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
}
