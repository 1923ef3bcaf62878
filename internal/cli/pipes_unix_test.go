//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoFileOfAUserMakesTheProgramWait puts a pipe that nobody writes to, and a device without an
// end, in the place of every file that a user names.
func TestNoFileOfAUserMakesTheProgramWait(t *testing.T) {
	dir, _ := alone(t)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		r := longtake(t, args...)
		if r.code == 0 || !strings.Contains(r.err, want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v; want %q", args, r, want)
		}
	}
	for path, what := range map[string]string{pipe: "a named pipe", "/dev/zero": "a device"} {
		refused("--image: open "+path+": it is "+what, generate("--image", path)...)
		refused("--extend: open "+path+": it is "+what, generate("--extend", path)...)
		refused("it is "+what, "generate", "--storyboard", path)
		refused("it is "+what, "config", "show", "--role", "shard", "--config", path)
		refused("it is "+what, "cluster", "snapshot", "restore", path)
		refused("it is a file", generate("--model", path)...)

		for _, file := range []string{"model_index.json", "transformer/config.json",
			"text_encoder/config.json", "vae/config.json", "scheduler/scheduler_config.json",
			"tokenizer/tokenizer.json", "longtake.json", "vae/diffusion_pytorch_model.safetensors",
			"text_encoder/model.safetensors.index.json"} {
			model := filepath.Join(t.TempDir(), "m")
			if err := os.CopyFS(model, os.DirFS(tiny())); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(file, "text_encoder/model") {
				os.Remove(filepath.Join(model, "text_encoder", "model.safetensors"))
			}
			os.Remove(filepath.Join(model, file))
			if err := os.Symlink(path, filepath.Join(model, file)); err != nil {
				t.Fatal(err)
			}
			refused(file+": it is "+what, "plan", "--model", model)
		}
	}
}
