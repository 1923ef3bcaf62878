package model

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
)

// TestShapesOfEveryPublishedTransformer compares names and shapes with those of diffusers' classes.
func TestShapesOfEveryPublishedTransformer(t *testing.T) {
	small := `"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30`
	for name, c := range map[string]struct{ pipeline, class, keys string }{
		"1.3B":     {TextToVideo, "WanTransformer3DModel", small},
		"14B":      {TextToVideo, "WanTransformer3DModel", `"image_dim": null`},
		"I2V-A14B": {ImageToVideo, "WanTransformer3DModel", `"in_channels": 36`},
		"I2V-14B": {ImageToVideo, "WanTransformer3DModel",
			`"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120`},
		"FLF2V-14B": {ImageToVideo, "WanTransformer3DModel",
			`"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120, "pos_embed_seq_len": 514`},
		"TI2V-5B": {TextToVideo, "WanTransformer3DModel", `"num_attention_heads": 24, "ffn_dim": 14336,
			"num_layers": 30, "in_channels": 48, "out_channels": 48`},
		"VACE-1.3B": {Control, "WanVACETransformer3DModel", small + `, "vace_in_channels": 96,
			"vace_layers": [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28]`},
	} {
		s := settingsOf(t, fmt.Sprintf(`{"_class_name": %q, %s}`, c.class, c.keys))
		got := readTransformer(s, c.pipeline).Shapes()
		if err := s.finish(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sameShapes(t, name, got, published(t, "transformer "+name))
	}
}

func TestShapesOfThePublishedImageEncoder(t *testing.T) {
	s := settingsOf(t, `{"model_type": "clip_vision_model", "hidden_act": "gelu", "hidden_size": 1280,
		"intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
		"image_size": 224, "patch_size": 14, "num_channels": 3, "projection_dim": 1024}`)
	c := readImageEncoder(s)
	if err := s.finish(); err != nil {
		t.Error(err)
	}
	if c.Tokens() != 257 {
		t.Errorf("%d tokens; published: 257", c.Tokens())
	}
	sameShapes(t, "image_encoder", c.Shapes(), published(t, "image_encoder"))
}

func sameShapes(t *testing.T, name string, got, want Shapes) {
	t.Helper()
	for weight, shape := range want {
		if !got[weight].Equal(shape) {
			t.Errorf("%s: %s is %v, published %v", name, weight, got[weight], shape)
		}
	}
	for weight := range got {
		if want[weight] == nil {
			t.Errorf("%s: %s is not published", name, weight)
		}
	}
}

func settingsOf(t *testing.T, text string) *settings {
	t.Helper()
	s := &settings{file: "config.json", used: map[string]bool{}}
	if err := json.Unmarshal([]byte(text), &s.raw); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestIndexesOfEveryPipeline reads model_index.json as it is published for each family.
func TestIndexesOfEveryPipeline(t *testing.T) {
	const one, two = `"transformer": ["diffusers", "WanTransformer3DModel"]`,
		`"transformer_2": ["diffusers", "WanTransformer3DModel"]`
	const vace = `"transformer": ["diffusers", "WanVACETransformer3DModel"]`
	const clip = `"image_encoder": ["transformers", "CLIPVisionModel"]`
	for _, c := range []struct {
		keys    string
		experts string
		want    string // of the error
	}{
		{`"_class_name": "WanPipeline", ` + one, "transformer", ""},
		{`"_class_name": "WanVideoToVideoPipeline", ` + one, "transformer", ""},
		{`"_class_name": "WanPipeline", "boundary_ratio": 0.875, ` + one + "," + two,
			"transformer transformer_2", ""},
		{`"_class_name": "WanPipeline", "boundary_ratio": 1, "transformer": [null, null], ` + two,
			"transformer_2", ""},
		{`"_class_name": "WanPipeline", "expand_timesteps": true, ` + one, "transformer", ""},
		{`"_class_name": "WanImageToVideoPipeline", "boundary_ratio": 0.9, "image_encoder": [null, null],
			"image_processor": [null, null], ` + one + "," + two, "transformer transformer_2", ""},
		{`"_class_name": "WanImageToVideoPipeline", "image_processor": ["transformers",
			"CLIPImageProcessor"], ` + clip + "," + one, "transformer", ""},
		{`"_class_name": "WanVACEPipeline", ` + vace, "transformer", ""},
		{`"_class_name": "WanVACEPipeline", ` + one, "", "transformer is "},
		{`"_class_name": "WanPipeline", ` + vace, "", "transformer is "},
		{`"_class_name": "WanPipeline", ` + clip + "," + one, "", "image_encoder is "},
		{`"_class_name": "WanPipeline"`, "", "transformer is missing; allowed: a transformer"},
		{`"_class_name": "WanPipeline", ` + two, "", "boundary_ratio is missing; allowed: 0 to 1"},
		{`"_class_name": "WanPipeline", "boundary_ratio": "0.9", ` + one, "",
			`boundary_ratio is "0.9"; allowed: null, or 0 to 1`},
	} {
		s := settingsOf(t, "{"+c.keys+"}")
		p := readPipeline(s)
		if c.want == "" && (s.err != nil || strings.Join(p.Experts, " ") != c.experts) {
			t.Errorf("%s: %+v, %v", c.keys, p, s.err)
		}
		if c.want != "" && (s.err == nil || !strings.Contains(s.err.Error(), c.want)) {
			t.Errorf("%s: %v; want %s", c.keys, s.err, c.want)
		}
	}
}

// TestVACELayersAreChecked wants ascending layers of the transformer that begin with 0.
func TestVACELayersAreChecked(t *testing.T) {
	for layers, ok := range map[string]bool{
		"[0]": true, "[0, 3]": true, "[]": false, "[1]": false, "[0, 0]": false, "[0, 4]": false,
		"[0, 2, 1]": false, "null": false, "[0, 1.5]": false,
	} {
		s := settingsOf(t, `{"num_layers": 4, "vace_layers": `+layers+`}`)
		if readTransformer(s, Control); (s.err == nil) != ok {
			t.Errorf("vace_layers %s: %v", layers, s.err)
		}
	}
}

// TestUnusedWeightsOfTransformersAreLeftOut: Wan's image-to-video files have a norm of queries that
// no class has.
func TestUnusedWeightsOfTransformersAreLeftOut(t *testing.T) {
	f := &Folder{}
	c := &component{tensors: map[string]tensor.Tensor{"blocks.0.attn2.norm_added_q.weight": {},
		"blocks.0.attn2.norm_added_k.weight": {}}}
	f.dropUnused(FirstExpert, c)
	if len(c.tensors) != 1 || len(f.notices) != 1 {
		t.Errorf("%d tensors, notices %q; want 1 of each", len(c.tensors), f.notices)
	}
}
