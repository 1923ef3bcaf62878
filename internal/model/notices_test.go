package model

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// edit sets keys of a JSON file of a folder in memory.
func edit(t *testing.T, m fstest.MapFS, file string, keys map[string]string) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(m[file].Data, &all); err != nil {
		t.Fatal(err)
	}
	for k, v := range keys {
		if all[k] = json.RawMessage(v); v == "" {
			delete(all, k)
		}
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	m[file] = &fstest.MapFile{Data: data}
}

const transformerFile, encoderFile, vaeFile = "transformer/config.json", "text_encoder/config.json",
	"vae/config.json"

// TestKeysOfOtherPrograms opens a folder with one key more, or another value. A notice tells what
// was left out; "" wants none.
func TestKeysOfOtherPrograms(t *testing.T) {
	for _, c := range []struct{ file, key, value, notice string }{
		{transformerFile, "model_type", `"ti2v"`, `transformer/config.json: model_type "ti2v"`},
		{transformerFile, "epsilon", `1e-5`, "epsilon 1e-5"},
		{transformerFile, "some_list", `[1, 2]`, "some_list [1,2]"},
		{transformerFile, "properties", `["x"]`, "properties"},
		{transformerFile, "attn_mode", `"flash"`, "attn_mode"},
		{transformerFile, "quantization_config", `null`, ""},
		{transformerFile, "action_dim", `0`, ""},
		{transformerFile, "torch_dtype", `"bfloat16"`, ""},
		{transformerFile, "dtype", `"float32"`, ""},
		{transformerFile, "window_size", `[-1, -1]`, ""},
		{transformerFile, "add_img_emb", `false`, ""},
		{transformerFile, "anything", `[]`, ""},
		{transformerFile, "anything", `{}`, ""},
		{transformerFile, "anything", `""`, ""},
		{transformerFile, "rope_theta", `10000.0`, ""},
		{transformerFile, "_note", `"of the writer"`, ""},
		{transformerFile, "out_channels", `null`, ""},
		{transformerFile, "out_channels", `0`, ""},
		{transformerFile, "rope_max_seq_len", `64.0`, ""},
		{transformerFile, "freq_dim", `6.4e1`, ""},
		{transformerFile, "patch_size", `[1.0, 2, 2.0]`, ""},
		{vaeFile, "decoder_base_dim", `null`, ""},
		{vaeFile, "dim_mult", `[1.0, 2, 4, 4]`, ""},
		{vaeFile, "use_tiling", `true`, "vae/config.json: use_tiling true"},
		{vaeFile, "act_fn", `"silu"`, ""},
		{encoderFile, "hidden_size", `24`, ""},
		{encoderFile, "future_key", `7`, "text_encoder/config.json: future_key 7"},
		{"model_index.json", "image_encoder", `[null, null]`, ""},
		{"model_index.json", "image_processor", `["transformers", "CLIPImageProcessor"]`, ""},
		{"model_index.json", "expand_timesteps", `null`, ""},
	} {
		t.Run(c.file+" "+c.key+" "+c.value, func(t *testing.T) {
			m := tiny(t)
			edit(t, m, c.file, map[string]string{c.key: c.value})
			f, err := OpenFS(m, "tiny")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got := f.Notices(nil)
			if c.notice == "" && len(got) > 0 ||
				c.notice != "" && (len(got) != 1 || !strings.Contains(got[0], c.notice)) {
				t.Errorf("notices %q; want %q", got, c.notice)
			}
		})
	}
}

// TestKeysThatChangeTheArithmetic are refused with their value, whatever the weights are.
func TestKeysThatChangeTheArithmetic(t *testing.T) {
	for _, c := range []struct{ file, key, value string }{
		{transformerFile, "quantization_config", `{"quant_method":"bitsandbytes"}`},
		{encoderFile, "quantization_config", `{"quant_method":"torchao"}`},
		{vaeFile, "quantization_config", `{"load_in_8bit":true}`},
		{transformerFile, "quant_method", `"fp8"`},
		{transformerFile, "weight_quantization", `"int8"`},
		{transformerFile, "action_dim", `7`},
		{transformerFile, "window_size", `[128,128]`},
		{transformerFile, "local_attn_size", `21`},
		{transformerFile, "rope_theta", `20000.0`},
		{transformerFile, "rope_scaling", `{"factor":2}`},
		{transformerFile, "text_len", `226`},
		{transformerFile, "flag_causal_attention", `true`},
		{transformerFile, "add_img_emb", `true`},
		{transformerFile, "activation_fn", `"relu"`},
		{transformerFile, "out_channels", `8`},
		{transformerFile, "eps", `null`},
		{transformerFile, "num_layers", `null`},
		{transformerFile, "num_layers", `3.5`},
		{transformerFile, "num_layers", `1e400`},
		{transformerFile, "patch_size", `null`},
		{encoderFile, "num_attention_heads", `5`},
		{vaeFile, "z_dim", `null`},
		{"model_index.json", "boundary_ratio", `-0.9`},
		{"model_index.json", "transformer", `[null,null]`},
	} {
		m := tiny(t)
		edit(t, m, c.file, map[string]string{c.key: c.value})
		f, err := OpenFS(m, "tiny")
		if err == nil {
			f.Close()
			t.Errorf("%s: %s %s is taken", c.file, c.key, c.value)
		} else if want := c.key + " is " + c.value; !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestAnAbsentOutChannelsIs16(t *testing.T) {
	m := tiny(t)
	edit(t, m, transformerFile, map[string]string{"in_channels": "4", "out_channels": ""})
	_, err := OpenFS(m, "tiny")
	if err == nil || !strings.Contains(err.Error(), "out_channels is missing; allowed: up to in_channels, 4") {
		t.Errorf("in_channels 4 without out_channels: %v", err)
	}
}

func TestAllLeftOutKeysAreOneNotice(t *testing.T) {
	m := tiny(t)
	keys := map[string]string{}
	for _, c := range "abcdefghijklmnopqrst" {
		keys["key_"+string(c)] = "1"
	}
	edit(t, m, transformerFile, keys)
	edit(t, m, vaeFile, map[string]string{"x": `"` + strings.Repeat("é", 4000) + `"`})
	f, err := OpenFS(m, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := f.Notices([]string{"rescale_zero_terminal_snr false"})
	if len(got) != 1 || len(got[0]) > noticeBytes || !strings.Contains(got[0], "(and 10 more)") {
		t.Errorf("%d notices: %q", len(got), got)
	}
}

func TestJSONAsEditorsWriteIt(t *testing.T) {
	m := tiny(t)
	for _, file := range []string{"model_index.json", transformerFile, encoderFile, vaeFile,
		"scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
		"transformer/diffusion_pytorch_model.safetensors.index.json"} {
		m[file] = &fstest.MapFile{Data: append([]byte("\ufeff"), m[file].Data...)}
	}
	f, err := OpenFS(m, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := f.Scheduler; !bytes.HasPrefix(s, []byte("{")) {
		t.Errorf("the scheduler's configuration begins with %q", s[:4])
	}
	if j, err := f.TokenizerJSON(); err != nil || !bytes.HasPrefix(j, []byte("{")) {
		t.Errorf("the tokenizer's file: %v", err)
	}
	m[vaeFile] = &fstest.MapFile{Data: []byte("\xff\xfe{\x00}\x00")}
	if _, err := OpenFS(m, "tiny"); err == nil || !strings.Contains(err.Error(), "it is UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
}

// onDisk writes a folder in memory to the disk.
func onDisk(t *testing.T, m fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	for name, f := range m {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), string(f.Data))
	}
	return dir
}

func TestOtherNamesOfTheWeights(t *testing.T) {
	const stem = "transformer/diffusion_pytorch_model"
	whole := func(m fstest.MapFS) []byte { // the transformer as one file
		return merged(t, m, stem)
	}
	drop := func(m fstest.MapFS) {
		for name := range m {
			if strings.HasPrefix(name, "transformer/") && name != transformerFile {
				delete(m, name)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(m fstest.MapFS)
		notice string
	}{
		{"fp16 variant", func(m fstest.MapFS) {
			data := whole(m)
			drop(m)
			m[stem+".fp16.safetensors"] = &fstest.MapFile{Data: data}
		}, "its variant fp16 was read"},
		{"sharded bf16 variant", func(m fstest.MapFS) {
			index := m[stem+".safetensors.index.json"]
			delete(m, stem+".safetensors.index.json")
			m[stem+".safetensors.index.bf16.json"] = index
		}, "its variant bf16 was read"},
		{"single file next to a stale index", func(m fstest.MapFS) {
			data := whole(m)
			delete(m, stem+"-00003-of-00010.safetensors")
			m[stem+".safetensors"] = &fstest.MapFile{Data: data}
		}, "the first was read"},
		{"a whole UMT5 model", func(m fstest.MapFS) {
			all := tensors(t, m, "text_encoder/model")
			w := all["encoder.final_layer_norm.weight"]
			all["decoder.final_layer_norm.weight"], all["lm_head.weight"] = w, all["shared.weight"]
			m["text_encoder/model.safetensors"] = &fstest.MapFile{Data: encoded(t, all)}
			delete(m, "text_encoder/model.safetensors.index.json")
		}, "text_encoder has 2 weights that an encoder has no use for"},
		{"index that omits a weight", func(m fstest.MapFS) {
			file := stem + ".safetensors.index.json"
			var index struct {
				WeightMap map[string]string `json:"weight_map"`
			}
			if err := json.Unmarshal(m[file].Data, &index); err != nil {
				t.Fatal(err)
			}
			delete(index.WeightMap, "blocks.0.attn1.norm_k.weight")
			data, _ := json.Marshal(index)
			m[file] = &fstest.MapFile{Data: data}
		}, "does not list 1 of the weights in its files, such as blocks.0.attn1.norm_k.weight"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tiny(t)
			c.change(m)
			f, err := OpenFS(m, "tiny")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := f.Notices(nil); len(got) != 1 || !strings.Contains(got[0], c.notice) {
				t.Errorf("notices %q; want %q", got, c.notice)
			}
		})
	}
}

func TestAFolderOfLinksOpens(t *testing.T) {
	blobs, dir := onDisk(t, tiny(t)), t.TempDir()
	err := filepath.WalkDir(blobs, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(blobs, path)
		to := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.Symlink(path, to)
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := f.Notices(nil); len(n) > 0 {
		t.Error(slices.Values(n))
	}
}
