package convert

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// original returns the name that Wan's own files give a weight of diffusers'.
func original(component, name string) string {
	switch component {
	case textEncoder:
		return originalText(name)
	case vae:
		return originalVAE(name)
	}
	pairs := []string{"condition_embedder.time_embedder.linear_1", "time_embedding.0",
		"condition_embedder.time_embedder.linear_2", "time_embedding.2",
		"condition_embedder.text_embedder.linear_1", "text_embedding.0",
		"condition_embedder.text_embedder.linear_2", "text_embedding.2",
		"condition_embedder.time_proj", "time_projection.1",
		"condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos",
		"condition_embedder.image_embedder.norm1", "img_emb.proj.0",
		"condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1",
		"condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3",
		"condition_embedder.image_embedder.norm2", "img_emb.proj.4"}
	if strings.Contains(name, "blocks.") {
		pairs = []string{"attn1.", "self_attn.", "attn2.", "cross_attn.", "to_out.0.", "o.",
			"to_q.", "q.", "to_k.", "k.", "to_v.", "v.", "norm_added_k.", "norm_k_img.", "add_k_proj.", "k_img.",
			"add_v_proj.", "v_img.", "scale_shift_table", "modulation", "ffn.net.0.proj.", "ffn.0.",
			"ffn.net.2.", "ffn.2.", "norm2.", "norm3.", "proj_in.", "before_proj.",
			"proj_out.", "after_proj."}
	} else if name == "scale_shift_table" {
		return "head.modulation"
	} else if rest, ok := strings.CutPrefix(name, "proj_out."); ok {
		return "head.head." + rest
	}
	return strings.NewReplacer(pairs...).Replace(name)
}

func originalText(name string) string {
	switch name {
	case "shared.weight":
		return "token_embedding.weight"
	case "encoder.final_layer_norm.weight":
		return "norm.weight"
	}
	return strings.NewReplacer("encoder.block.", "blocks.", "layer.0.layer_norm", "norm1",
		"layer.1.layer_norm", "norm2", "layer.0.SelfAttention.relative_attention_bias",
		"pos_embedding.embedding", "layer.0.SelfAttention", "attn", "layer.1.DenseReluDense.wi_0",
		"ffn.gate.0", "layer.1.DenseReluDense.wi_1", "ffn.fc1", "layer.1.DenseReluDense.wo",
		"ffn.fc2").Replace(name)
}

var residualParts = strings.NewReplacer("norm1.", "residual.0.", "conv1.", "residual.2.",
	"norm2.", "residual.3.", "conv2.", "residual.6.", "conv_shortcut.", "shortcut.")

func originalVAE(name string) string {
	if rest, ok := strings.CutPrefix(name, "quant_conv."); ok {
		return "conv1." + rest
	}
	if rest, ok := strings.CutPrefix(name, "post_quant_conv."); ok {
		return "conv2." + rest
	}
	name = residualParts.Replace(name)
	replace := func(pattern, to string) {
		name = regexp.MustCompile(pattern).ReplaceAllString(name, to)
	}

	// Wan 2.2's names tell it apart: its blocks have one sampler, without a number.
	replace(`down_blocks\.(\d+)\.downsampler\.`, "downsamples.$1.downsamples.2.")
	replace(`down_blocks\.(\d+)\.resnets\.`, "downsamples.$1.downsamples.")
	replace(`up_blocks\.(\d+)\.upsampler\.`, "upsamples.$1.upsamples.3.")
	if deep {
		replace(`up_blocks\.(\d+)\.resnets\.`, "upsamples.$1.upsamples.")
	}
	var i, j int
	if n, _ := fmt.Sscanf(name, "decoder.up_blocks.%d.resnets.%d.", &i, &j); n == 2 {
		replace(`up_blocks\.\d+\.resnets\.\d+`, fmt.Sprintf("upsamples.%d", 4*i+j))
	} else if n == 1 {
		replace(`up_blocks\.\d+\.upsamplers\.0`, fmt.Sprintf("upsamples.%d", 4*i+3))
	}
	return strings.NewReplacer("down_blocks", "downsamples", "mid_block.resnets.0", "middle.0",
		"mid_block.attentions.0", "middle.1", "mid_block.resnets.1", "middle.2", "conv_in", "conv1",
		"norm_out", "head.0", "conv_out", "head.2").Replace(name)
}

// deep is set while the names of a VAE of Wan 2.2 are made.
var deep bool

// weightsOf reads the weights of a model's component.
func weightsOf(t testing.TB, dir, component string) map[string]tensor.Tensor {
	t.Helper()
	all := map[string]tensor.Tensor{}
	files, err := filepath.Glob(filepath.Join(dir, component, "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no weights of %s: %v", component, err)
	}
	for _, file := range files {
		f, err := safetensors.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		for _, n := range f.Names() {
			if all[n], err = f.Tensor(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// renamed gives weights the names of Wan's files, behind a prefix.
func renamed(component, prefix string, weights map[string]tensor.Tensor) map[string]tensor.Tensor {
	deep = weights["encoder.down_blocks.0.resnets.0.conv1.weight"].Shape != nil
	out := map[string]tensor.Tensor{}
	for n, x := range weights {
		out[prefix+original(component, n)] = x
	}
	return out
}

// save writes a file of weights into a folder that it makes.
func save(t testing.TB, weights map[string]tensor.Tensor, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, weights, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// same wants two folders to hold the same weights of a component.
func same(t testing.TB, component, got, want string) {
	t.Helper()
	a, b := weightsOf(t, got, component), weightsOf(t, want, component)
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		t.Errorf("%s has other names", component)
	}
	for n, x := range b {
		if y := a[n]; y.DType != x.DType || !y.Shape.Equal(x.Shape) || !bytes.Equal(y.Data, x.Data) {
			t.Errorf("%s/%s: %v %v, want %v %v", component, n, y.DType, y.Shape, x.DType, x.Shape)
		}
	}
}

// halves splits weights into two files of one index, as large models come.
func halves(all map[string]tensor.Tensor) (a, b map[string]tensor.Tensor) {
	a, b = map[string]tensor.Tensor{}, map[string]tensor.Tensor{}
	for i, n := range slices.Sorted(maps.Keys(all)) {
		[]map[string]tensor.Tensor{a, b}[i%2][n] = all[n]
	}
	return a, b
}

// TestLayoutsComeBackAsTheyWere writes twins in the layouts that people have, and converts them.
func TestLayoutsComeBackAsTheyWere(t *testing.T) {
	for _, name := range []string{"t2v", "a14b", "ti2v", "vace"} {
		t.Run(name, func(t *testing.T) {
			twin, in := golden.Twin(t, name), t.TempDir()
			for _, c := range []string{transformer, second} {
				if _, err := os.Stat(filepath.Join(twin, c)); err != nil {
					continue
				}
				noise := map[string]string{transformer: "high_noise_model", second: "low_noise_model"}[c]
				if name != "a14b" {
					noise = "."
				}
				a, b := halves(renamed(transformer, "", weightsOf(t, twin, c)))
				save(t, a, in, noise, "diffusion_pytorch_model-00001-of-00002.safetensors")
				save(t, b, in, noise, "diffusion_pytorch_model-00002-of-00002.safetensors")
			}
			save(t, renamed(vae, "", weightsOf(t, twin, vae)), in, "Wan_VAE.safetensors")
			save(t, renamed(textEncoder, "", weightsOf(t, twin, textEncoder)), in, "umt5.safetensors")
			if err := copyFolder(t.Context(), filepath.Join(twin, "tokenizer"),
				filepath.Join(in, "google")); err != nil {
				t.Fatal(err)
			}

			out := filepath.Join(t.TempDir(), "out")
			last := int64(0)
			r, err := Convert(t.Context(), []string{in}, out, Options{DType: "fp32",
				Heads:    headsOf(t, twin),
				Progress: func(done, total int64) { last = total - done }})
			if err != nil || last != 0 {
				t.Fatalf("%v; %d bytes left", err, last)
			}
			for _, c := range r.Components {
				same(t, c, out, twin)
			}
			sameForm(t, out, twin)
		})
	}
}

// headsOf reads how many heads a twin has, which are not of a published width.
func headsOf(t testing.TB, dir string) int {
	t.Helper()
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Transformer.NumAttentionHeads
}

// sameForm wants the configurations that were derived to be those that the weights were made by.
func sameForm(t testing.TB, got, want string) {
	t.Helper()
	a, err := model.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := model.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	// Positions are not of the weights: published models have 1024.
	c := b.Transformer
	c.RopeMaxSeqLen = 1024
	if !a.Transformer.Equal(c) || a.VAE.ZDim != b.VAE.ZDim || a.VAE.Residual != b.VAE.Residual ||
		a.Pipeline.Class != b.Pipeline.Class || fmt.Sprint(a.Pipeline.Experts) !=
		fmt.Sprint(b.Pipeline.Experts) || a.Pipeline.ExpandTimesteps != b.Pipeline.ExpandTimesteps {
		t.Errorf("derived %+v\n%+v\nwant %+v\n%+v", a.Pipeline, a.Transformer, b.Pipeline, c)
	}
	x, y := a.Pipeline.Boundary, b.Pipeline.Boundary
	if (x == nil) != (y == nil) || x != nil && *x != *y {
		t.Errorf("the boundary is %v, want %v", x, y)
	}
}

// TestASingleFileOfComfyUI has everything behind prefixes, and weights of 8 bits with scales.
func TestASingleFileOfComfyUI(t *testing.T) {
	twin := golden.Twin(t, "t2v")
	all := renamed(transformer, "model.diffusion_model.", weightsOf(t, twin, transformer))
	maps.Copy(all, renamed(vae, "first_stage_model.", weightsOf(t, twin, vae)))
	for n, x := range weightsOf(t, twin, textEncoder) { // transformers' names, as ComfyUI has them
		all["text_encoders.umt5xxl.transformer."+n] = x
	}
	all["text_encoders.umt5xxl.spiece_model"] = tensor.Tensor{DType: tensor.U8,
		Shape: tensor.Shape{0}}

	// Two weights in 8 bits: one with a scale for all, one with a scale for each row.
	const q, k = "model.diffusion_model.blocks.1.self_attn.q", "model.diffusion_model.blocks.1.ffn.0"
	want := map[string][]float32{}
	for name, kind := range map[string]tensor.DType{q: tensor.F8E4M3, k: tensor.F8E5M2} {
		x := all[name+".weight"]
		data, table := make([]byte, x.Shape.Elements()), map[tensor.DType]*[256]float32{
			tensor.F8E4M3: &e4m3, tensor.F8E5M2: &e5m2}[kind]
		scales, suffix := []float32{0.5}, ".scale_weight"
		if name == k {
			scales, suffix = make([]float32, x.Shape[0]), ".weight_scale"
			for i := range scales {
				scales[i] = float32(i + 1)
			}
		}
		for i := range data {
			data[i] = byte(i % 120)
			row := i / x.Shape[1] % len(scales)
			want[name] = append(want[name], table[data[i]]*scales[row])
		}
		all[name+".weight"] = tensor.Tensor{DType: kind, Shape: x.Shape, Data: data}
		all[name+suffix] = tensor.FromFloat32(scales, len(scales))
	}
	all["model.diffusion_model.scaled_fp8"] = tensor.Tensor{DType: tensor.F8E4M3,
		Shape: tensor.Shape{0}}

	out := filepath.Join(t.TempDir(), "out")
	r, err := Convert(t.Context(), []string{save(t, all, t.TempDir(), "one.safetensors")}, out,
		Options{DType: "fp32", Heads: headsOf(t, twin), Base: twin})
	if err != nil || fmt.Sprint(r.Components, r.Copied) !=
		"[text_encoder transformer vae] [tokenizer]" {
		t.Fatalf("%+v, %v", r, err)
	}
	same(t, vae, out, twin)
	same(t, textEncoder, out, twin)
	got := weightsOf(t, out, transformer)
	for name, to := range map[string]string{q: "blocks.1.attn1.to_q", k: "blocks.1.ffn.net.0.proj"} {
		v, err := got[to+".weight"].Float32()
		if err != nil || !slices.Equal(v, want[name]) {
			t.Errorf("%s: %v, %v", to, v[:4], err)
		}
	}
}
