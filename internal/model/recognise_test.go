package model

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// tensors reads a component's weights from a folder in memory.
func tensors(t *testing.T, m fstest.MapFS, stem string) map[string]tensor.Tensor {
	t.Helper()
	names, err := fs.Glob(m, stem+"*.safetensors")
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", stem, err)
	}
	all := map[string]tensor.Tensor{}
	for _, n := range names {
		f, err := safetensors.Parse(m[n].Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range f.Names() {
			if all[w], err = f.Tensor(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

func encoded(t *testing.T, weights map[string]tensor.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, weights, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// merged is a component's weights as one file.
func merged(t *testing.T, m fstest.MapFS, stem string) []byte {
	t.Helper()
	return encoded(t, tensors(t, m, stem))
}

// original renames the weights of a transformer as Wan's own repositories have them.
func original(name string) string {
	return strings.NewReplacer("attn1.to_q", "self_attn.q", "attn1.to_k", "self_attn.k", "attn1.to_v",
		"self_attn.v", "attn1.to_out.0", "self_attn.o", "attn2.", "cross_attn.", "proj_out", "head.head",
		"ffn.net.0.proj", "ffn.0", "ffn.net.2", "ffn.2").Replace(name)
}

// stranger is a file in the place of one of a good folder, and what the error says.
type stranger struct {
	name, file string
	data       []byte
	want       string
}

const transformerStem = "transformer/diffusion_pytorch_model"

func (s stranger) check(t *testing.T, base fstest.MapFS) {
	t.Run(s.name, func(t *testing.T) {
		m := fstest.MapFS{}
		for k, v := range base {
			m[k] = v
		}
		m[s.file] = &fstest.MapFile{Data: s.data}
		fails(t, m, s.want, s.file)
	})
}

func TestFilesThatAreSomethingElse(t *testing.T) {
	const weights, index = transformerStem + ".safetensors",
		transformerStem + ".safetensors.index.json"
	const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n"
	const page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
	base := tiny(t)
	good := merged(t, base, transformerStem)
	for _, s := range []stranger{
		{"LFS weights", weights, []byte(lfs), "Git LFS pointer"},
		{"LFS configuration", vaeFile, []byte(lfs), "Git LFS pointer"},
		{"LFS tokenizer", tokenizerFile, []byte(lfs), "Git LFS pointer"},
		{"LFS scheduler", "scheduler/scheduler_config.json", []byte(lfs), "Git LFS pointer"},
		{"LFS index", index, []byte(lfs), "Git LFS pointer"},
		{"a web page", weights, []byte(page), "web page"},
		{"a web page for JSON", transformerFile, []byte("  " + page), "web page"},
		{"a server's error", weights, []byte("Entry not found"), `"Entry not found"`},
		{"XML", weights, []byte("<?xml version=\"1.0\"?><Error/>"), "XML"},
		{"nothing", weights, nil, "empty; download it again"},
		{"zeros", weights, make([]byte, 4096), "unfinished download"},
		{"GGUF", weights, []byte("GGUF\x03\x00\x00\x00\x10\x00\x00\x00"), "GGUF"},
		{"a PyTorch archive", weights, []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00"), "pickle"},
		{"an old pickle", weights, []byte("\x80\x02}q\x00(X\x05\x00\x00\x00"), "pickle"},
		{"half a download", weights, good[:len(good)/2], "cut short; download it again"},
		{"half a header", weights, good[:600], "cut short; download it again"},
	} {
		s.check(t, base)
	}
}

func TestWeightsOfOtherProgramsAreNamed(t *testing.T) {
	const one = "blocks.0.ffn.net.0.proj.weight"
	base := tiny(t)
	all := tensors(t, base, transformerStem)
	renamed := func(f func(string) string) []byte {
		out := map[string]tensor.Tensor{}
		for n, w := range all {
			out[f(n)] = w
		}
		return encoded(t, out)
	}
	prefixed := func(prefix string, f func(string) string) []byte {
		return renamed(func(n string) string { return prefix + f(n) })
	}
	same := func(n string) string { return n }
	with := func(name string, w tensor.Tensor) []byte {
		out := maps.Clone(all)
		out[name] = w
		return encoded(t, out)
	}
	fp8 := tensor.Tensor{DType: tensor.F8E4M3, Shape: all[one].Shape,
		Data: make([]byte, all[one].Shape.Elements())}
	i8, mark := fp8, fp8
	i8.DType = tensor.I8
	mark.Shape, mark.Data = tensor.Shape{0}, nil
	scale := tensor.FromFloat32([]float32{1}, 1)
	lora := map[string]tensor.Tensor{"transformer.blocks.0.attn1.to_q.lora_A.weight": all[one]}

	for _, s := range []stranger{
		{"fp8 with scales", "", with("scaled_fp8", mark), "quantised (scaled_fp8)"},
		{"fp8 without scales", "", with(one, fp8), "quantised (" + one + " is F8_E4M3)"},
		{"int8", "", with(one, i8), one + " is I8; allowed: F32"},
		{"a scale", "", with("blocks.0.attn1.to_q.scale_weight", scale), "quantised"},
		{"bitsandbytes", "", with(one+".absmax", scale), "quantised"},
		{"the original layout", "", renamed(original), "longtake model convert"},
		{"the original layout in ComfyUI's", "", prefixed("model.diffusion_model.", original),
			"longtake model convert"},
		{"ComfyUI's prefix", "", prefixed("model.diffusion_model.", same), "ComfyUI"},
		{"another prefix", "", prefixed("module.", same), `begin with "module."`},
		{"image-to-video", "", with("blocks.0.attn2.add_k_proj.weight", all[one]), "image-to-video"},
		{"a LoRA", "", encoded(t, lora), "LoRA"},
	} {
		s.file = transformerStem + ".safetensors"
		s.check(t, base)
	}
}

// fails opens a folder, which must be one line that says want and names the file's part.
func fails(t *testing.T, m fstest.MapFS, want, file string) {
	t.Helper()
	f, err := OpenFS(m, "tiny")
	if err == nil {
		f.Close()
		t.Fatal("it opened")
	}
	part, _, _ := strings.Cut(file, "/")
	if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), part) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDTypesThatAreNotSupported(t *testing.T) {
	for _, name := range []string{"F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "C64", "F8_E4M3FNUZ"} {
		m := tiny(t)
		header, _ := json.Marshal(map[string]any{"w": map[string]any{"dtype": name, "shape": []int{8},
			"data_offsets": []int{0, 4}}})
		data := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
		m["vae/diffusion_pytorch_model.safetensors"] = &fstest.MapFile{Data: append(data, 0, 0, 0, 0)}
		fails(t, m, `dtype "`+name+`" is not supported`, vaeFile)
	}
}

// TestFoldersWithoutWeights has other files where the weights would be.
func TestFoldersWithoutWeights(t *testing.T) {
	for other, want := range map[string]string{
		"diffusion_pytorch_model.bin":                             "pickle",
		"wan2.1_t2v_1.3B_fp16.safetensors":                        "rename it",
		"wan2.1-q4_0.gguf":                                        "GGUF",
		"diffusion_pytorch_model.safetensors.incomplete":          "unfinished",
		"diffusion_pytorch_model-00001-of-00002.safetensors":      "index is missing",
		"diffusion_pytorch_model.fp16-00001-of-00002.safetensors": "rename it",
		"notes.txt": "weights must be safetensors",
	} {
		m := tiny(t)
		for name := range m {
			if strings.HasPrefix(name, "transformer/") && name != transformerFile {
				delete(m, name)
			}
		}
		m["transformer/"+other] = &fstest.MapFile{}
		fails(t, m, want, transformerFile)
	}
	m := tiny(t)
	for _, v := range []string{"fp16", "bf16"} {
		m["vae/diffusion_pytorch_model."+v+".safetensors"] = &fstest.MapFile{}
	}
	delete(m, "vae/diffusion_pytorch_model.safetensors.index.json")
	fails(t, m, "the variants bf16 and fp16", vaeFile)
}

// TestFoldersOfOtherKinds opens what people take for a model folder.
func TestFoldersOfOtherKinds(t *testing.T) {
	for _, c := range []struct{ file, open, want string }{
		{"Wan2.1_VAE.pth", ".", "longtake model convert"},
		{"models_t5_umt5-xxl-enc-bf16.pth", ".", "-Diffusers repository"},
		{"snapshots/0fad/model_index.json", ".", "its folder snapshots/0fad"},
		{"Wan-Diffusers/model_index.json", ".", "its folder Wan-Diffusers has one"},
		{"wan.gguf", ".", "GGUF"},
		{"wan.safetensors", "wan.safetensors", "a single .safetensors file"},
		{"notes.txt", "notes.txt", "it is a file"},
		{"notes.txt", "elsewhere", "there is no such folder"},
		{"notes.txt", ".", "no model_index.json"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, filepath.FromSlash(c.file)), "x")
		path := filepath.Join(dir, c.open)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s in a folder: %v; want %q", c.file, err, c.want)
		}
	}
	dir := onDisk(t, tiny(t))
	if err := os.Remove(filepath.Join(dir, "model_index.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "transformer")); err == nil ||
		!strings.Contains(err.Error(), "one part of a model") {
		t.Errorf("a part of a model: %v", err)
	}
}

// TestNamesOfOtherLayouts names parts by weights that only they have.
func TestNamesOfOtherLayouts(t *testing.T) {
	for name, want := range map[string]string{
		"decoder.upsamples.0.residual.0.gamma":                     "Wan's original files",
		"first_stage_model.encoder.downsamples.0.residual.2.bias":  "Wan's original files",
		"token_embedding.weight":                                   "Wan's original files",
		"blocks.0.attn.q.weight":                                   "Wan's original files",
		"head.head.weight":                                         "Wan's original files",
		"blocks.0.cross_attn.k_img.weight":                         "Wan's original files",
		"lora_unet_blocks_0_self_attn_k.lora_down.weight":          "LoRA",
		"blocks.0.ffn.net.0.proj.qweight":                          "quantised",
		"blocks.0.attn1.to_q.weight.quant_state.bitsandbytes__nf4": "quantised",
		"decoder.up_blocks.0.upsamplers.0.resample.1.weight":       "",
		"encoder.block.0.layer.0.SelfAttention.q.weight":           "",
		"blocks.0.attn1.to_q.weight":                               "",
	} {
		w := NewWeights("part", map[string]tensor.Tensor{name: tensor.FromFloat32([]float32{0}, 1)},
			Shapes{"x": {1}})
		got := ""
		if err := w.recognise(); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
}
