package demo

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
)

// TestTheTagLeavesTheWeightsOut asks the go command which files a build embeds.
func TestTheTagLeavesTheWeightsOut(t *testing.T) {
	f := func(tags string, want bool) {
		t.Helper()
		out, err := exec.Command("go", "list", "-tags", tags, "-f", "{{.EmbedFiles}}", ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), ".safetensors"); got != want {
			t.Errorf("with tags %q, weights are embedded: %v; want %v", tags, got, want)
		}
	}
	f("", true)
	f("nodemo", false)
}

// TestOpen holds for both builds; make test runs it with the tag, too.
func TestOpen(t *testing.T) {
	files, err := Open()
	if embedded == nil {
		if !errors.Is(err, ErrLeftOut) {
			t.Errorf("a build without the model opens it with the error %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(files, "model_index.json"); err != nil {
		t.Error(err)
	}
}
