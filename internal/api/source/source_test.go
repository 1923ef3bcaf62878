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
	"github.com/longtake/longtake/internal/media"
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

// TestFoldersAreVideos takes the pictures of a folder in the order of their names, whatever else is
// there, and leaves nothing behind.
func TestFoldersAreVideos(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	for i, name := range []string{"b.png", "a.png", "c.PNG", "d.txt"} {
		img := image.NewGray(image.Rect(0, 0, 16, 16))
		for k := range img.Pix {
			img.Pix[k] = byte(50 * i)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := job.Model{Patch: [3]int{1, 2, 2}, TemporalScale: 1, SpatialScale: 8,
		Defaults: job.Defaults{FPS: 16, Frames: 33}}
	video, _ := job.LookupField(job.VideoField)
	f, err := Open(t.Context(), video, dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Request(t.Context(), job.Request{}, m)
	if err != nil || *r.Frames != 3 || *r.Width != 16 || r.Inputs[0].Frames != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	out, done, err := f.Stored(t.Context(), job.Spec{Width: 32, Height: 16})
	if err != nil {
		t.Fatal(err)
	}
	info, err := out.Stat()
	if err != nil {
		t.Fatal(err)
	}
	frames, err := media.OpenStills(media.PNG, out, info.Size())
	if err != nil || frames.Len() != 3 {
		t.Fatal(frames, err)
	}
	for i, grey := range []byte{50, 0, 100} {
		got, err := frames.Frame(i, 32, 16)
		if err != nil || got.RGB[0] != grey {
			t.Errorf("frame %d is %d: %v", i, got.RGB[0], err)
		}
	}
	done()
	f.Close()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}

	if _, err := Open(t.Context(), video, t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "a folder without pictures") {
		t.Errorf("an empty folder: %v", err)
	}
	start, _ := job.LookupField(job.StartField)
	if _, err := Open(t.Context(), start, dir); err == nil {
		t.Error("a folder is a picture to start from")
	}
}
