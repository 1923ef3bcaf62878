package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/cuda"
)

// TestDeviceMistakes are told in one line, which says what is there, before a model is opened.
func TestDeviceMistakes(t *testing.T) {
	_, clean := alone(t)
	mistakes := map[string][]string{
		"--vae-dtype is bf16|fp32 on a CPU": generate("--device", "cpu", "--vae-dtype", "bf16"),
		"vae-dtype is|fp32, bf16":           {"up", "--vae-dtype", "fp8"},
		"--vae-dtype is bf16|on a CPU":      {"bench", "run", "--device", "cpu", "--vae-dtype", "bf16"},
		"device is|cuda:0,1":                generate("--device", "gpu"),
		"device is|cuda:|cuda:0,1":          generate("--device", "cuda:"),
		"--gpus is|but device is cpu":       generate("--device", "cpu", "--gpus", "0"),
		"--gpus is|but device is cuda:0":    generate("--device", "cuda:0", "--gpus", "0"),
		"gpus is|all, or numbers":           {"up", "--gpus", "0,x"},
		"--device does not go": {"generate", "-p", "x", "--device", "cpu", "--coordinator",
			"http://127.0.0.1:1"},
		"--shards is|1 to 64":              {"bench", "run", "--shards", "1,65"},
		"--threads is|1 to 1024":           {"bench", "run", "--threads", "0"},
		"--dtype is|fp32|auto":             {"bench", "run", "--dtype", "int4"},
		"--shards is|such as 1,2,4":        {"bench", "run", "--shards", "", "--device", "cpu"},
		"device is|auto|several as cuda:0": {"bench", "run", "--device", "cuda:0,"},
	}
	if !cuda.Built {
		const none = "--device is|built without CUDA|make cuda|cpu does without"
		mistakes[none] = generate("--device", "cuda")
		mistakes["--device is|without CUDA"] = []string{"up", "--device", "cuda:2"}
		mistakes[none+"|bin/cuda"] = []string{"bench", "run", "--device", "cuda"}
		mistakes["--gpus is|built without CUDA"] = generate("--gpus", "0,1")
	}

	refused(t, mistakes)
	clean()
}

// TestTheFirstLineSaysTheDevice of a clip that is made here.
func TestTheFirstLineSaysTheDevice(t *testing.T) {
	alone(t)
	args := []string{"--device", "cpu", "--frames", "1", "--shards", "3", "--threads", "1"}
	r := longtake(t, generate(args...)...)
	first, _, _ := strings.Cut(r.err, "\n")
	if r.code != 0 || !strings.HasPrefix(first, "computing on the CPU (") ||
		!strings.HasSuffix(first, "fp32), 3 x 1 threads") {
		t.Errorf("%+v", r)
	}
}

func TestDoublings(t *testing.T) {
	for n, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 8: {1, 2, 4, 8}} {
		if got := doublings(n); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
}
