package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// TestModelInspect tells what folders are, and why one does not open.
func TestModelInspect(t *testing.T) {
	for name, says := range map[string][]string{
		"t2v": {"Wan 2.1 T2V-48x2", "pipeline: WanPipeline", "transformer   85456", "clips from text"},
		"a14b": {"Wan 2.2 T2V-64x2", "transformer_2", "switched at timestep 875",
			"multiples of 16x16, 16 fps"},
		"ti2v": {"Wan 2.2 TI2V-64x2", "multiples of 32x32, 24 fps"},
		"vace": {"Wan 2.1 VACE-", "control"},
	} {
		o := longtake(t, "model", "inspect", golden.Twin(t, name))
		for _, s := range says {
			if o.code != 0 || !strings.Contains(o.out, s) {
				t.Errorf("%s: code %d, no %q in %s%s", name, o.code, s, o.out, o.err)
			}
		}
	}

	// A folder that does not open has its parts counted all the same.
	dir := golden.Twin(t, "t2v")
	if err := os.Remove(filepath.Join(dir, "model_index.json")); err != nil {
		t.Fatal(err)
	}
	o := longtake(t, "model", "inspect", dir, "--json")
	var i inspection
	if err := json.Unmarshal([]byte(o.out), &i); err != nil || o.code != 1 {
		t.Fatalf("%v, %+v", err, o)
	}
	if len(i.Components) != 3 || i.Components[1].Parameters != 85456 || len(i.Problems) != 1 ||
		i.Components[1].DTypes["F32"] != 85456 || i.Components[1].Stored != 4*85456 ||
		i.Components[1].Memory["bf16"] >= i.Components[1].Memory["fp32"] ||
		!strings.Contains(i.Problems[0], "no model_index.json") {
		t.Errorf("%+v", i)
	}
}

// TestModelConvert makes a folder of a single file, which then is a model.
func TestModelConvert(t *testing.T) {
	twin, out := golden.Twin(t, "t2v"), filepath.Join(t.TempDir(), "out")
	in := filepath.Join(twin, "transformer", "diffusion_pytorch_model.safetensors")
	o := longtake(t, "model", "convert", in, out, "--base", twin, "--heads", "3")
	if o.code != 0 || !strings.Contains(o.out, "WanPipeline with transformer\n") ||
		!strings.Contains(o.out, "copied from "+twin+": vae, text_encoder, tokenizer") ||
		!strings.Contains(o.err, "100 %") {
		t.Fatalf("%+v", o)
	}
	if o := longtake(t, "model", "inspect", out); o.code != 0 || !strings.Contains(o.out, "BF16") {
		t.Errorf("%+v", o)
	}
	o = longtake(t, "model", "convert", in, out)
	if o.code != 1 || !strings.Contains(o.err, "exists; allowed: a new folder") {
		t.Errorf("%+v", o)
	}
}
