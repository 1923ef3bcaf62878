//go:build cuda

package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/cuda"
)

// madeOn makes the clip of a command line and returns the last line of its JSON, and the first of
// what it says.
func madeOn(t *testing.T, args ...string) (last resultLine, first string) {
	t.Helper()
	r := longtake(t, generate(append(args, "--frames", "1", "--json")...)...)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	err := json.Unmarshal([]byte(lines[len(lines)-1]), &last)
	if r.code != 0 || err != nil {
		t.Fatalf("%q: %+v, %v", args, r, err)
	}
	first, _, _ = strings.Cut(r.err, "\n")
	return last, first
}

// TestGenerateOnGPUs: a clip takes the machine's GPUs by itself, in bf16, and has the same latents
// on all of them and where two shards share one. In fp32 it is told that this is slow.
func TestGenerateOnGPUs(t *testing.T) {
	t.Setenv("EMU_GPUS", "2")
	_, clean := alone(t)
	name, err := cuda.NameOf(0)
	if err != nil {
		t.Fatal(err)
	}

	all, first := madeOn(t)
	if !strings.HasPrefix(first, "computing on ") ||
		!strings.HasSuffix(first, " x "+name+" (cuda, bf16)") || all.Spec.DType != "bf16" {
		t.Errorf("it says %q, and computes in %s", first, all.Spec.DType)
	}
	one, first := madeOn(t, "--device", "cuda:0", "--shards", "2")
	if one.LatentsSHA256 != all.LatentsSHA256 || !strings.HasPrefix(first, "computing on 1 x ") {
		t.Errorf("two shards of a GPU make %s, one of each %s; it says %q", one.LatentsSHA256,
			all.LatentsSHA256, first)
	}
	plain, _ := madeOn(t, "--dtype", "fp32", "--shards", "1")
	if plain.Spec.DType != "fp32" || len(plain.Notices) != 1 ||
		!strings.Contains(plain.Notices[0], "tensor cores") {
		t.Errorf("in %s, with the notices %q", plain.Spec.DType, plain.Notices)
	}
	onCPU, first := madeOn(t, "--device", "cpu")
	if onCPU.Spec.DType != "fp32" || !strings.HasPrefix(first, "computing on the CPU (") {
		t.Errorf("with --device cpu it says %q, and computes in %s", first, onCPU.Spec.DType)
	}
	clean("clip.webm")
}

// TestBenchRunOnGPUs times a clip on one shard and on more, without being told how many GPUs there
// are.
func TestBenchRunOnGPUs(t *testing.T) {
	t.Setenv("EMU_GPUS", "2")
	alone(t)
	r := longtake(t, "bench", "run", "--model", tiny(), "--rounds", "1", "--steps", "1", "--size",
		"32x32", "--frames", "1", "--json")
	if rows := strings.Count(r.out, `"latents_sha256"`); r.code != 0 || rows < 1 ||
		!strings.Contains(r.err, "computing on ") || !strings.Contains(r.err, "(cuda, ") {
		t.Errorf("%d rows: %+v", rows, r)
	}

	// The shards get the type of convolutions: the first kernels have none but float32.
	t.Setenv("LONGTAKE_CUDA", "v1")
	r = longtake(t, "bench", "run", "--model", tiny(), "--rounds", "1", "--vae-dtype", "bf16")
	if r.code == 0 || !strings.Contains(r.err, "type of convolutions is bf16") {
		t.Errorf("with bf16 in v1: %+v", r)
	}
}
