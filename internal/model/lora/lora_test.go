package lora_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/lora"
	"github.com/longtake/longtake/internal/tensor"
)

// transformer opens a twin and returns its transformer's shapes.
func transformer(t testing.TB, twin string) (*model.Folder, model.Shapes) {
	t.Helper()
	f, err := model.Open(golden.Twin(t, twin))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, f.Transformer.Shapes()
}

// open reads a LoRA from its tensors.
func open(t testing.TB, tensors map[string]tensor.Tensor, shapes model.Shapes) *lora.File {
	t.Helper()
	f, err := lora.Parse(golden.Safetensors(t, tensors), shapes)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// weightsSHA256 hashes all weights of a transformer as they are taken with a set, by name.
func weightsSHA256(t testing.TB, f *model.Folder, component string, set lora.Set) string {
	t.Helper()
	w, err := f.Weights(component)
	if err != nil {
		t.Fatal(err)
	}
	w.Overlay(set)
	h := sha256.New()
	for _, n := range slices.Sorted(maps.Keys(f.Transformer.Shapes())) {
		h.Write(tensor.Bytes(w.Take(n)))
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestMergedWeightsHaveTheBytesOfTheReference for every layout, and in each of two transformers with
// the LoRAs that are for it.
func TestMergedWeightsHaveTheBytesOfTheReference(t *testing.T) {
	for twin, components := range map[string][]string{
		"t2v":  {model.FirstExpert},
		"a14b": {model.FirstExpert, model.SecondExpert},
	} {
		f, shapes := transformer(t, twin)
		var cases map[string]golden.LoRACase
		golden.Open(t, "lora_"+twin).Meta("cases", &cases)
		for name, c := range cases {
			got := ""
			for i, component := range components {
				var set lora.Set
				for _, l := range c.LoRAs {
					if l.Target != "" && l.Target != []string{"first", "second"}[i] {
						continue
					}
					file := open(t, golden.LoRA(l.Name, l.Layout, shapes), shapes)
					set = append(set, lora.Scaled{File: file, Scale: l.Scale})
				}
				got += weightsSHA256(t, f, component, set)
			}
			if got != c.Fused {
				t.Errorf("%s, %s: SHA-256 %s of the weights; the reference has %s", twin, name, got, c.Fused)
			}
		}

		if cases["peft"].Fused != cases["kohya"].Fused || cases["peft"].Fused != cases["original"].Fused {
			t.Error("the layouts differ in the reference")
		}
	}
}

func TestAScaleOf0ChangesNothing(t *testing.T) {
	f, shapes := transformer(t, "t2v")
	file := open(t, golden.LoRA("rich", "", shapes), shapes)
	plain := weightsSHA256(t, f, model.FirstExpert, nil)
	set := lora.Set{{File: file, Scale: 0}}
	if got := weightsSHA256(t, f, model.FirstExpert, set); got != plain {
		t.Error("a scale of 0 changes weights")
	}
	if n := file.Notices(); len(n) != 1 || !strings.Contains(n[0], "norms") {
		t.Errorf("notices %q", n)
	}
	if lora.Key([]string{"a", "b"}, []float64{0, 1}) != lora.Key([]string{"b"}, []float64{1}) {
		t.Error("a LoRA of scale 0 makes a set of its own")
	}
}

// TestOddRanks holds the product to its definition where the rank is no multiple of four.
func TestOddRanks(t *testing.T) {
	_, shapes := transformer(t, "t2v")
	const name, rank, out, in = "blocks.1.ffn.net.2.weight", 5, 48, 96
	a, b := golden.Values("a", "a", rank, in), golden.Values("b", "b", out, rank)
	f := open(t, map[string]tensor.Tensor{
		"blocks.1.ffn.net.2.lora_A.weight": tensor.FromFloat32(a, rank, in),
		"blocks.1.ffn.net.2.lora_B.weight": tensor.FromFloat32(b, out, rank),
		"blocks.1.ffn.net.2.alpha":         tensor.FromFloat32([]float32{10}),
	}, shapes)
	got := make([]float32, out*in)
	if err := (lora.Set{{File: f, Scale: 0.5}}).Change(name, got); err != nil {
		t.Fatal(err)
	}
	for o := range out {
		for i := range in {
			want := 0.0
			for k := range rank {
				want += float64(b[o*rank+k]) * float64(a[k*in+i])
			}
			if d := math.Abs(want - float64(got[o*in+i])); d > 1e-5 {
				t.Fatalf("[%d %d] is %v, want %v", o, i, got[o*in+i], want)
			}
		}
	}
}
