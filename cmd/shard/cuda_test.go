//go:build cuda

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheSameBinaryStartsWithoutADriver builds the shard and takes the driver away.
func TestTheSameBinaryStartsWithoutADriver(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "shard")
	cmd := exec.Command("go", "build", "-tags", "cuda,netgo,osusergo", "-o", bin, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(args ...string) (string, int) {
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH=")
		out, err := cmd.CombinedOutput()
		if _, ok := err.(*exec.ExitError); err != nil && !ok {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("--help"); code != 0 {
		t.Errorf("--help exits with %d: %s", code, out)
	}
	out, code := run("--device", "cuda", "--name", "a")
	lines := strings.Count(strings.TrimSpace(out), "\n") + 1
	if code != 2 || lines != 1 || !strings.Contains(out, "there is no CUDA driver here") ||
		!strings.Contains(out, "--device cpu does without") {
		t.Errorf("exits with %d and says %q", code, out)
	}
}
