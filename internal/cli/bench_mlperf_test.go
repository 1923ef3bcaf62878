//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
)

// TestBenchMLPerf runs a test of one clip, for which a shell script stands in for LoadGen.
func TestBenchMLPerf(t *testing.T) {
	_, clean := alone(t)
	dir := t.TempDir()
	python, list := filepath.Join(dir, "python"), filepath.Join(dir, "list.txt")
	script := `#!/bin/sh
read -r line
out=$(echo "$line" | sed 's/.*"outdir":"\([^"]*\)".*/\1/')
echo '{"version": "6.0.17"}'
echo '{"issue": [[5, 0]]}'
read -r line
echo 'Result is : INVALID' >"$out/mlperf_log_summary.txt"
echo '{"end": true}'
`
	for path, text := range map[string]string{python: script, list: "a red ball\n"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	latent := filepath.Join(dir, "latent.safetensors")
	data := golden.Safetensors(t, map[string]tensor.Tensor{
		"noise": tensor.FromFloat32(make([]float32, 16*8*12), 1, 16, 1, 8, 12)})
	if err := os.WriteFile(latent, data, 0o600); err != nil {
		t.Fatal(err)
	}

	root := filepath.Join(dir, "out")
	got := longtake(t, "bench", "mlperf", "-o", root, "--python", python, "--prompts", list,
		"--scenario", "singlestream", "--test", "accuracy", "--count", "1", "--size", "96x64",
		"--frames", "1", "--steps", "1", "--shards", "1", "--latent", latent)
	if got.code != 0 || !strings.Contains(got.out, "to be judged by VBench") ||
		!strings.Contains(got.err, "NOT a valid submission: num_frames is 1; the task has 81") ||
		!strings.Contains(got.err, "NOT a valid submission: the latent is not the fixed") ||
		strings.Contains(got.err, "noise of the seed") {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"videos/SingleStream/a red ball-0.mp4",
		"open/longtake/systems/system.json", "open/longtake/model_mapping.json",
		"open/longtake/results/system/longtake-demo/SingleStream/accuracy/mlperf_log_summary.txt"} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}

	none := longtake(t, "bench", "mlperf", "-o", root, "--python", "/nowhere/python",
		"--shards", "1", "--json")
	if none.code != 1 || none.out != "" || !strings.Contains(none.err, "--python names") {
		t.Errorf("without an interpreter: %+v", none)
	}

	wrong := longtake(t, "bench", "mlperf", "-o", root, "--python", python, "--shards", "1",
		"--size", "96x64", "--frames", "5", "--latent", latent)
	if wrong.code != 2 || !strings.Contains(wrong.err, "--latent is of shape [16 1 8 12]") {
		t.Errorf("a latent of another shape: %+v", wrong)
	}

	for args, says := range map[string]string{
		"--scenario Server": "allowed: SingleStream", "--test fast": "allowed: performance, ",
		"--count -1": "--count is -1", "--at-once 0": "--at-once is 0",
		"--division network": "allowed: closed, open", "--submitter ../me": "--submitter",
		"--prompts /nowhere": "--prompts", "--system-file /nowhere": "--system-file",
		"--min-duration -1s": "--min-duration is -1s", "--latent /nowhere": "--latent: ",
	} {
		bad := longtake(t, append([]string{"bench", "mlperf"}, strings.Fields(args)...)...)
		if bad.code != 2 || !strings.Contains(bad.err, says) {
			t.Errorf("%s: %+v", args, bad)
		}
	}
	clean()
}
