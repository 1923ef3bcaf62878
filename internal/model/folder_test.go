package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/models/demo"
)

func TestEveryShippedFolderOpens(t *testing.T) {
	for _, path := range [][]string{{"models", "demo"}, {"testdata", "golden", "tiny3"},
		{"testdata", "golden", "tiny5"}, {"testdata", "golden", "tiny7"}} {
		f, err := Open(golden.Root(path...))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := f.TokenizerJSON(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheEmbeddedModelIsTheOneOnDisk(t *testing.T) {
	disk, err := Open(golden.Root("models", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	files, err := demo.Open()
	if errors.Is(err, demo.ErrLeftOut) {
		t.Skip(err)
	}
	embedded, err := OpenFS(files, "demo")
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	if a, b := fingerprint(t, disk), fingerprint(t, embedded); a != b {
		t.Errorf("the fingerprint on disk is %s, embedded %s", a, b)
	}
	if other := fingerprint(t, openTiny(t)); other == fingerprint(t, disk) {
		t.Errorf("two models have the fingerprint %s", other)
	}
	if embedded.Name() != "longtake-demo" {
		t.Errorf("the demo calls itself %q", embedded.Name())
	}
}

func fingerprint(t *testing.T, f *Folder) string {
	t.Helper()
	s, err := f.Survey("")
	if err != nil {
		t.Fatal(err)
	}
	return s.Fingerprint
}

func openTiny(t *testing.T) *Folder {
	t.Helper()
	f, err := OpenFS(tiny(t), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// tiny returns a folder in memory, small enough to be changed file by file.
func tiny(t testing.TB) fstest.MapFS {
	t.Helper()
	root, m := os.DirFS(golden.Root("testdata", "golden", "tiny5")), fstest.MapFS{}
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		m[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// broken lists changes of a good folder: in file, old becomes new (an empty old replaces all, an
// empty new too removes the file), and the error that must say so.
var broken = []struct{ file, old, new, want string }{
	{"model_index.json", "", "", "no model_index.json"},
	{"model_index.json", `"WanPipeline"`, `"WanAnimatePipeline"`, `_class_name is "WanAnimatePip`},
	{"model_index.json", `"WanPipeline"`, `"WanImageToVideoPipeline"`,
		"in_channels is 16; allowed: 36 in a WanImageToVideoPipeline with a z_dim of 16"},
	{"model_index.json", `"WanPipeline"`, `"WanVACEPipeline"`, "transformer is "},
	{"model_index.json", `"WanTransformer3DModel"`, `"FluxTransformer"`, "transformer is "},
	{"model_index.json", `"boundary_ratio": null`, `"boundary_ratio": 1.5`,
		"boundary_ratio is 1.5; allowed: null, or 0 to 1"},
	{"transformer/config.json", "", "", "cannot read transformer/config.json: file does not exist"},
	{"transformer/config.json", `"num_layers": 3`, `"num_layers": 0`,
		"num_layers is 0; allowed: 1 to 1024"},
	{"transformer/config.json", `"num_layers": 3`, `"num_layers": "3"`,
		`num_layers is "3"; allowed: 1 to 1024`},
	{"transformer/config.json", `"num_layers": 3`, `"num_layers": 2`,
		"transformer: weight blocks.2.attn1.norm_k.weight [80] is not used by"},
	{"transformer/config.json", `"ffn_dim": 72`, `"ffn_dim": 73`,
		"weight blocks.0.ffn.net.0.proj.bias has the shape [72], the configuration asks for [73]"},
	{"transformer/config.json", `"image_dim": null`, `"image_dim": 1280`,
		"added_kv_proj_dim is null; allowed: 80 with image_dim 1280"},
	{"transformer/config.json", `"in_channels": 16`, `"in_channels": 36`,
		"in_channels is 36; allowed: 16 in a WanPipeline with a z_dim of 16"},
	{"transformer/config.json", `"qk_norm": "rms_norm_across_heads"`, `"qk_norm": "layer_norm"`,
		"qk_norm is"},
	{"transformer/config.json", `"text_dim": 24`, `"text_dim": 25`,
		"text_dim is 25, the text encoder's d_model 24"},
	{"transformer/config.json", `{`, `[`, "cannot read transformer/config.json"},
	{"text_encoder/config.json", `"gated-gelu"`, `"relu"`,
		`feed_forward_proj is "relu"; allowed: "gated-gelu"`},
	{"text_encoder/config.json", `"umt5"`, `"t5"`, `model_type is "t5"`},
	{"vae/config.json", `"is_residual": false`, `"is_residual": true`,
		"vae: weight decoder.up_blocks.0.upsampler.resample.1.bias [32] is missing"},
	{"vae/config.json", `"patch_size": null`, `"patch_size": 2`, "in_channels is 3; allowed: 12"},
	{"vae/config.json", `"patch_size": null`, `"patch_size": 5`, "patch_size is 5; allowed: 1 to 4"},
	{"vae/config.json", `"base_dim": 8`, `"base_dim": 9`,
		"weight decoder.conv_in.bias has the shape [32], the configuration asks for [36]"},
	{"vae/config.json", `"z_dim": 16`, `"z_dim": 4`, "latents_mean is [-0.7571,-0.7089"},
	{"vae/config.json", `[
    1,
    2,
    4,
    4
  ]`, `[1]`, "dim_mult is [1]; allowed: 2 to 6 values"},
	{"scheduler/scheduler_config.json", "", "", "cannot read scheduler/scheduler_config.json"},
	{"tokenizer/tokenizer.json", "", "", "cannot read tokenizer/tokenizer.json"},
	{"longtake.json", "", `{"framez": 3}`, `longtake.json: key "framez" is unknown`},
	{"longtake.json", "", `{"sizes": ["96x64x3"]}`, `sizes is ["96x64x3"]; allowed: a list of sizes`},
	{"longtake.json", "", `{"latent_rgb": [[1, 2]]}`, "latent_rgb is [[1,2]]; allowed: rows of three"},
	{"longtake.json", "", `{"latent_rgb": [[1, 2, 17]]}`,
		"rows of three numbers, each from -16 to 16"},
	{"longtake.json", "", `{"latent_rgb": []}`, "latent_rgb is []"},
	{"longtake.json", "", `{"latent_rgb": [[1, 2, 3]]}`, "latent_rgb has 1 rows; allowed: 16"},
	{"longtake.json", "", `{"latent_rgb_bias": [1, 2, 3]}`, "latent_rgb is missing"},
	{"longtake.json", "", `{"latent_rgb": [[0, 0, 0]], "latent_rgb_bias": [1]}`,
		"latent_rgb_bias is [1]"},
	{"longtake.json", "", `{"window": 4, "overlap": 4}`,
		"overlap is 4; allowed: less than the window of 4"},
	{"transformer/diffusion_pytorch_model.safetensors.index.json", "", "",
		"the index is missing; download it"},
	{"transformer/diffusion_pytorch_model.safetensors.index.json",
		"diffusion_pytorch_model-00002-of", "../vae/x-00002-of",
		"allowed: a .safetensors file in the folder of the index"},
	{"transformer/diffusion_pytorch_model-00003-of-00010.safetensors", "", "",
		"cannot open transformer/diffusion_pytorch_model-00003-of-00" +
			"010.safetensors: file does not exist"},
	{"transformer/diffusion_pytorch_model-00003-of-00010.safetensors", "", "\xff\xff\xff",
		"diffusion_pytorch_model-00003-of-00010.safetensors"},
}

func TestABrokenFolderIsOneLineThatNamesWhat(t *testing.T) {
	for _, c := range broken {
		t.Run(c.file+" "+c.new, func(t *testing.T) {
			m := tiny(t)
			switch {
			case c.old == "" && c.new == "":
				delete(m, c.file)
			case c.old == "":
				m[c.file] = &fstest.MapFile{Data: []byte(c.new)}
			default:
				text := string(m[c.file].Data)
				if !strings.Contains(text, c.old) {
					t.Fatalf("%s has no %q", c.file, c.old)
				}
				m[c.file] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, c.old, c.new))}
			}
			f, err := OpenFS(m, "tiny")
			if err == nil {
				f.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestDefaultsFitTheModel wants WanPipeline's defaults where the model can make them, else the
// nearest below.
func TestDefaultsFitTheModel(t *testing.T) {
	wan := VAEConfig{Patch: 1, DimMult: []int{1, 2, 4, 4}, TemperalDownsample: []bool{false, true, true}}
	small := VAEConfig{Patch: 1, DimMult: []int{1, 1}, TemperalDownsample: []bool{false}}
	for _, c := range []struct {
		positions int
		patch     [3]int
		vae       VAEConfig
		size      [2]int
		frames    int
	}{
		{1024, [3]int{1, 2, 2}, wan, [2]int{832, 480}, 81},
		{52, [3]int{1, 2, 2}, wan, [2]int{832, 480}, 81},
		{51, [3]int{1, 2, 2}, wan, [2]int{816, 464}, 81},
		{32, [3]int{1, 2, 2}, wan, [2]int{512, 288}, 81},
		{8, [3]int{1, 2, 2}, wan, [2]int{128, 64}, 29},
		{1, [3]int{1, 2, 2}, wan, [2]int{16, 16}, 1},
		{1024, [3]int{2, 2, 2}, wan, [2]int{832, 480}, 77},
		{1024, [3]int{1, 3, 5}, wan, [2]int{800, 480}, 81},
		{1024, [3]int{1, 1, 1}, small, [2]int{298, 172}, 81},
	} {
		d := Defaults{Sizes: [][2]int{{832, 480}}, Frames: 81}
		d.fit(TransformerConfig{PatchSize: c.patch, RopeMaxSeqLen: c.positions}, c.vae, false)
		if d.Sizes[0] != c.size || d.Frames != c.frames {
			t.Errorf("%d positions, patches of %v: %v, %d frames; want %v, %d", c.positions, c.patch,
				d.Sizes[0], d.Frames, c.size, c.frames)
		}
	}
}

func TestAMissingFolderIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v; want a line with %s", err, dir)
	}
}

func TestWeightsTellMissingAndUnused(t *testing.T) {
	w := NewWeights("part", map[string]tensor.Tensor{
		"a": tensor.FromFloat32([]float32{1, 2}, 2), "b": tensor.FromFloat32([]float32{3}, 1)},
		Shapes{"a": {2}})
	if got := w.Take("a"); !slices.Equal(got, []float32{1, 2}) {
		t.Errorf("a is %v", got)
	}
	err := w.Finish()
	if want := "part: weight b [1] is not used by this configuration"; fmt.Sprint(err) != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

// FuzzConfigs feeds every configuration file with other bytes: an error or a folder, never a panic.
func FuzzConfigs(f *testing.F) {
	files := []string{"model_index.json", "transformer/config.json", "text_encoder/config.json",
		"vae/config.json", "longtake.json", "vae/diffusion_pytorch_model.safetensors.index.json"}
	base := tiny(f)
	for i, name := range files {
		if file := base[name]; file != nil {
			f.Add(i, file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		m := fstest.MapFS{}
		for k, v := range base {
			m[k] = v
		}
		m[files[(which%len(files)+len(files))%len(files)]] = &fstest.MapFile{Data: data}
		if folder, err := OpenFS(m, "tiny"); err == nil {
			folder.Close()
		}
	})
}
