package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/golden"
)

// TestMLPerf runs MLPerf's LoadGen, its submission checker and its client for endpoints on tiny
// clips: make test-clients. What cannot be fetched is skipped, with a line that says so.
func TestMLPerf(t *testing.T) {
	if os.Getenv("LONGTAKE_CLIENTS") == "" {
		t.Skip("make test-clients runs this")
	}
	env := append(os.Environ(), "LONGTAKE="+filepath.Join(build(t).dir, "longtake"),
		"COUNT=4", "CLIP=--size 32x32 --frames 1 --steps 1 --threads 1", "SAMPLES=2")
	for _, script := range []string{"mlperf_check.sh", "mlperf_endpoints.sh"} {
		t.Run(script, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, golden.Root("tools", script))
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := lines[len(lines)-1]

			// 75 is what the scripts end with where something is not to be had.
			var exit *exec.ExitError
			switch {
			case errors.As(err, &exit) && exit.ExitCode() == 75 && strings.Contains(last, "skipped: "):
				t.Skip(last)
			case err != nil:
				t.Fatalf("%v: %s", err, out)
			}
			t.Log(last)
		})
	}
}
