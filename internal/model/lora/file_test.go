package lora_test

import (
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model/lora"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// zeros is an F32 tensor of a shape.
func zeros(shape ...int) tensor.Tensor {
	return tensor.FromFloat32(make([]float32, tensor.Shape(shape).Elements()), shape...)
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	_, shapes := transformer(t, "t2v")
	const q = "transformer.blocks.0.attn1.to_q."
	plain := golden.LoRA("plain", "peft", shapes)
	nan := zeros(4, 48)
	nan.Data = tensor.Bytes([]float32{float32(math.NaN())})
	nan.Shape = tensor.Shape{1, 1}

	for want, change := range map[string]map[string]tensor.Tensor{
		"model of at least 41 blocks (lora_unet_blocks_40_ffn_0.alpha); this one has 2": {
			"lora_unet_blocks_40_ffn_0.alpha": zeros()},
		"another model: blocks.0.attn1.to_q.weight is [48 1536] there, and [48 48] here": {
			q + "lora_A.weight": zeros(4, 1536)},
		"the same rank": {q + "lora_A.weight": zeros(3, 48)},
		"matrices":      {q + "lora_A.weight": zeros(192)},
		"2 of its tensors are unknown, such as lycoris.x, transformer.blocks.0.attn1.to_q.hada_w1_a": {
			q + "hada_w1_a": zeros(1), "lycoris.x": zeros(1)},
		"not finite": {q + "lora_A.weight": nan},
		"cannot read dtype": {q + "lora_A.weight": {DType: tensor.I64, Shape: tensor.Shape{4, 48},
			Data: make([]byte, 8*4*48)}},
		"one is missing":                    {"blocks.0.attn1.to_k.lora_B.weight": {}},
		"a second time":                     {"blocks.0.attn1.to_q.lora_down.weight": zeros(4, 48)},
		"allowed: one value":                {q + "alpha": zeros(2)},
		"allowed: up to":                    {q + "alpha": tensor.FromFloat32([]float32{1e9})},
		"shape [7] there, and [48 48] here": {q + "diff": zeros(7)},
		"has an alpha for":                  {"transformer.proj_out.alpha": zeros()},
		"scale_shift_table.alpha":           {"transformer.scale_shift_table.alpha": zeros()},
		"blocks.0.attn1.lora_A":             {"blocks.0.attn1.lora_A.weight": zeros(4, 48)},
		"changes none of the model's":       nil,
	} {
		tensors := maps.Clone(plain)
		if change == nil {
			clear(tensors)
		}
		for name, x := range change {
			tensors[name] = x
			if x.Shape == nil && x.Data == nil {
				delete(tensors, name)
				delete(tensors, "transformer."+name)
			}
		}
		_, err := lora.Parse(golden.Safetensors(t, tensors), shapes)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestWhatIsLeftOutIsTold(t *testing.T) {
	_, shapes := transformer(t, "t2v")
	tensors := golden.LoRA("plain", "original", shapes)
	const at = "diffusion_model.blocks.1."
	tensors[at+"self_attn.q.dora_scale"] = zeros(48, 1)
	tensors[at+"cross_attn.k_img.lora_down.weight"] = zeros(4, 48)
	tensors["diffusion_model.img_emb.proj.1.diff_b"] = zeros(48)
	tensors[at+"norm3.diff"] = zeros(48) // zero, so nothing is lost
	tensors[at+"diff_m"] = zeros(1, 6, 48)
	tensors["diffusion_model.head.diff_m"] = zeros(1, 2, 48)
	f := open(t, tensors, shapes)
	got := strings.Join(f.Notices(), "; ")
	if got != "1 tensors of DoRA were left out, so that it works as a plain LoRA; 2 tensors for a "+
		"picture's tokens were left out, which this model does not have" {
		t.Errorf("notices: %s", got)
	}
	names := strings.Join(f.Weights(), " ")
	for _, want := range []string{"blocks.1.scale_shift_table", " scale_shift_table"} {
		if !strings.Contains(names, want) {
			t.Errorf("%s is not among the changed weights", want)
		}
	}
}

// TestPEFTMetadata reads alpha and rank from where diffusers writes them.
func TestPEFTMetadata(t *testing.T) {
	_, shapes := transformer(t, "t2v")
	change := func(metadata string) float32 {
		t.Helper()
		var b strings.Builder
		err := safetensors.Write(&b, map[string]tensor.Tensor{
			"transformer.proj_out.lora_A.weight": tensor.FromFloat32(ones(48), 1, 48),
			"transformer.proj_out.lora_B.weight": tensor.FromFloat32(ones(64), 64, 1),
		}, map[string]string{"lora_adapter_metadata": metadata})
		if err != nil {
			t.Fatal(err)
		}
		f, err := lora.Parse([]byte(b.String()), shapes)
		if err != nil {
			return -1
		}
		w := make([]float32, 64*48)
		if err := (lora.Set{{File: f, Scale: 1}}).Change("proj_out.weight", w); err != nil {
			t.Fatal(err)
		}
		return w[0]
	}
	for metadata, want := range map[string]float32{
		`{"transformer.r": 4, "transformer.lora_alpha": 8}`:                                               2,
		`{"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.use_rslora": true}`:               4,
		`{"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.alpha_pattern": {"proj_out": 2}}`: 0.5,
		`{"text_encoder.r": 4}`:                               1,
		`{"transformer.r": 0, "transformer.lora_alpha": 8}`:   -1,
		`{"transformer.r": 4, "transformer.lora_alpha": 1e9}`: -1,
		`[]`: -1,
	} {
		if got := change(metadata); got != want {
			t.Errorf("%s: a change of %v, want %v", metadata, got, want)
		}
	}
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

func FuzzParse(f *testing.F) {
	_, shapes := transformer(f, "t2v")
	f.Add(golden.Safetensors(f, map[string]tensor.Tensor{
		"diffusion_model.blocks.0.ffn.2.lora_down.weight": zeros(1, 96),
		"diffusion_model.blocks.0.ffn.2.lora_up.weight":   zeros(48, 1),
		"diffusion_model.blocks.0.ffn.2.alpha":            zeros(),
		"diffusion_model.blocks.0.ffn.2.diff_b":           zeros(48),
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := lora.Parse(data, shapes)
		if err != nil {
			return
		}
		set := lora.Set{{File: file, Scale: -0.5}}
		for _, n := range file.Weights() {
			if err := set.Change(n, make([]float32, shapes[n].Elements())); err != nil {
				t.Fatal(err)
			}
		}
	})
}
