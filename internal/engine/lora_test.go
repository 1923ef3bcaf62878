package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
)

// loraFile writes a LoRA's file and returns what a rank is told of it, and how often it was opened.
func loraFile(t testing.TB, l job.LoRA, tensors map[string]tensor.Tensor) (LoRA, *int) {
	t.Helper()
	path, opened := filepath.Join(t.TempDir(), "lora.safetensors"), new(int)
	data := golden.Safetensors(t, tensors)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	l.SHA256 = hex.EncodeToString(sum[:])
	return LoRA{l, func(context.Context) (string, func(), error) {
		*opened++
		return path, func() {}, nil
	}}, opened
}

// caseLoRAs writes the LoRAs of a golden's case.
func caseLoRAs(t testing.TB, c golden.LoRACase, shapes model.Shapes) (out []LoRA) {
	t.Helper()
	for _, l := range c.LoRAs {
		file, _ := loraFile(t, job.LoRA{Name: l.Name, Scale: l.Scale, Target: job.LoRATarget(l.Target)},
			golden.LoRA(l.Name, l.Layout, shapes))
		out = append(out, file)
	}
	return out
}

// TestLoRAsEqualTheReference makes clips with LoRAs of every layout, at several scales.
func TestLoRAsEqualTheReference(t *testing.T) {
	underrace.Skip(t, "one rank; TestLoRAsAreMergedOnce has two")
	g := golden.Open(t, "lora_t2v")
	e := blind(engineIn(t, compute.FP32, 2, golden.Twin(t, "t2v")))
	var cases map[string]golden.LoRACase
	g.Meta("cases", &cases)
	sums := map[string]string{}
	for name, c := range cases {
		loras := caseLoRAs(t, c, e.folder.Transformer.Shapes())
		if err := e.Use(t.Context(), compute.FP32, loras...); err != nil {
			t.Fatal(err)
		}
		res, objects := generate(t, []*Engine{e}, inMemory(t, 1), spec(g), job.Mesh{CFG: 1, Ulysses: 1})
		golden.Near(t, name, latentsOf(t, objects, res), g.Floats(name), 1e-5)
		sums[name] = res.LatentsSHA256
	}
	if sums["peft"] != sums["original"] || sums["peft"] != sums["kohya"] {
		t.Errorf("the layouts of one LoRA give other latents: %v", sums)
	}
}

// TestLoRAsOfTwoExperts makes clips with one for each transformer, one for both, and one for the
// first alone, with both in memory and with one at a time.
func TestLoRAsOfTwoExperts(t *testing.T) {
	underrace.Skip(t, "one rank; TestLoRAsAreMergedOnce has two")
	dir, g := golden.Twin(t, "a14b"), golden.Open(t, "lora_a14b")
	var cases map[string]golden.LoRACase
	g.Meta("cases", &cases)
	sums := map[string]string{}
	for i, how := range []Residency{Resident, Swap} {
		e := blind(expertEngine(t, dir, 1+i, Options{Experts: how}, nil))
		for name, c := range cases {
			loras := caseLoRAs(t, c, e.folder.Transformer.Shapes())
			if err := e.Use(t.Context(), compute.FP32, loras...); err != nil {
				t.Fatal(err)
			}
			res, objects := generate(t, []*Engine{e}, inMemory(t, 1), spec(g), job.Mesh{CFG: 1, Ulysses: 1})
			golden.Near(t, name, latentsOf(t, objects, res), g.Floats(name), 1e-5)
			if sums[name] == "" {
				sums[name] = res.LatentsSHA256
			}
			if n := len(e.experts.loaded); n != 2-i || sums[name] != res.LatentsSHA256 {
				t.Errorf("%s, %s: %d experts in memory, latents %.12s; others %.12s", name, how, n,
					res.LatentsSHA256, sums[name])
			}
		}
	}
}

// TestLoRAsAreMergedOnce shares the weights with a LoRA between two ranks, and the plain ones again
// with a clip that follows without any.
func TestLoRAsAreMergedOnce(t *testing.T) {
	g := golden.Open(t, "lora_t2v")
	engines := sharing(t, 2, golden.Twin(t, "t2v"))
	s, two := spec(g), job.Mesh{CFG: 1, Ulysses: 2}
	plain, _ := generate(t, engines, inMemory(t, 2), s, two)

	l, opened := loraFile(t, job.LoRA{Name: "plain", Scale: 1},
		golden.LoRA("plain", "kohya", engines[0].folder.Transformer.Shapes()))
	use := func(loras ...LoRA) {
		t.Helper()
		for _, e := range engines {
			if err := e.Use(t.Context(), compute.FP32, loras...); err != nil {
				t.Fatal(err)
			}
		}
	}
	use(l)
	res, objects := generate(t, engines, inMemory(t, 2), s, two)
	golden.Near(t, "on two ranks", latentsOf(t, objects, res), g.Floats("kohya"), 1e-5)
	if *opened != 1 {
		t.Errorf("the LoRA was read %d times for two ranks", *opened)
	}

	l.Scale = 0
	for _, loras := range [][]LoRA{nil, {l}} {
		use(loras...)
		again, _ := generate(t, engines, inMemory(t, 2), s, two)
		if again.LatentsSHA256 != plain.LatentsSHA256 {
			t.Error("a clip without LoRAs differs after one with a LoRA")
		}
	}
}

func TestALoRAOfAnotherModelIsPermanent(t *testing.T) {
	e := engineIn(t, compute.FP32, 1, golden.Twin(t, "t2v"))
	shapes := model.TransformerConfig{PatchSize: [3]int{1, 2, 2}, NumAttentionHeads: 2,
		AttentionHeadDim: 8, InChannels: 16, OutChannels: 16, TextDim: 8, FreqDim: 8, FFNDim: 8,
		NumLayers: 2, RopeMaxSeqLen: 8}.Shapes()
	l, _ := loraFile(t, job.LoRA{Name: "small", Scale: 1}, golden.LoRA("plain", "peft", shapes))
	err := e.Use(t.Context(), compute.FP32, l)
	if err == nil || !strings.Contains(err.Error(), `LoRA "small"`) || !Permanent(err) ||
		!strings.Contains(err.Error(), "another model") {
		t.Errorf("error %v", err)
	}

	// One that came with the request has no name, and its path is that of a copy.
	l.Name = ""
	err = e.Use(t.Context(), compute.FP32, l)
	if err == nil || !strings.Contains(err.Error(), "LoRA file of the request with SHA-256 "+l.SHA256[:12]) {
		t.Errorf("error %v", err)
	}

	// A file that cannot be had now may come later.
	l.Open = func(context.Context) (string, func(), error) { return "", nil, errors.New("away") }
	if err := e.Use(t.Context(), compute.FP32, l); err == nil || Permanent(err) {
		t.Errorf("error %v", err)
	}
	if err := e.Use(t.Context(), compute.FP32); err != nil || e.dit == nil {
		t.Errorf("the engine is lost after a LoRA that failed: %v", err)
	}
}

// sharing loads a model for n engines, which share weights.
func sharing(t testing.TB, n int, dir string) []*Engine {
	t.Helper()
	engines := []*Engine{engineIn(t, compute.FP32, 1, dir)}
	for range n - 1 {
		dev, err := cpu.New(1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewIn(t.Context(), engines[0].pool, engines[0].folder,
			Devices{dev, dev}, compute.FP32, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			e.Close()
			dev.Close()
		})
		engines = append(engines, e)
	}
	return engines
}
