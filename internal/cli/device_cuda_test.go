//go:build cuda

package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/cuda"
)

// latentsOn makes the clip of a command line and returns the SHA-256 of its latents, and the first
// line of what it says.
func latentsOn(t *testing.T, args ...string) (latents, first string) {
	t.Helper()
	r := longtake(t, generate(append(args, "--frames", "1", "--json")...)...)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	var last resultLine
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); r.code != 0 || err != nil {
		t.Fatalf("%q: %+v, %v", args, r, err)
	}
	first, _, _ = strings.Cut(r.err, "\n")
	return last.LatentsSHA256, first
}

// TestGenerateOnGPUs: a clip takes the machine's GPUs by itself, and has the same latents on one of
// them, on all, and where two shards share one.
func TestGenerateOnGPUs(t *testing.T) {
	t.Setenv("EMU_GPUS", "2")
	_, clean := alone(t)
	n, err := cuda.Count()
	if err != nil {
		t.Fatal(err)
	}
	name, err := cuda.NameOf(0)
	if err != nil {
		t.Fatal(err)
	}

	all, first := latentsOn(t)
	on := " x " + name + " (cuda, "
	if !strings.HasPrefix(first, "computing on ") || !strings.Contains(first, on) {
		t.Errorf("on %d GPUs it says %q", n, first)
	}
	one, first := latentsOn(t, "--device", "cuda:0", "--shards", "2")
	if one != all || !strings.HasPrefix(first, "computing on 1 x ") {
		t.Errorf("two shards of a GPU make %s, %d GPUs %s; it says %q", one, n, all, first)
	}
	onCPU, first := latentsOn(t, "--device", "cpu")
	if onCPU == all || !strings.HasPrefix(first, "computing on the CPU (") {
		t.Errorf("with --device cpu it says %q, and makes %s", first, onCPU)
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
}
