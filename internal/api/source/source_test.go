package source

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestOpen tells a picture from what a clip cannot start from, and describes its bytes.
func TestOpen(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	start, _ := job.LookupField(job.StartField)
	f, err := Open(t.Context(), start, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Request(t.Context(), job.Request{Size: "32x16"}, job.Model{Extends: true})
	if err != nil || !f.IsImage() || r.Inputs[0].Kind != job.KindImage || r.Inputs[0].Latents != 1 ||
		r.Inputs[0].Object.Size != int64(b.Len()) || *r.Width != 32 {
		t.Errorf("%+v, %v", r, err)
	}

	for name, data := range map[string]string{"of another kind": "hello", "is ": "\x89PNG\r\n\x1a\n"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), start, path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", data, err)
		}
	}
}
