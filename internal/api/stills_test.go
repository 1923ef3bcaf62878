package api

import (
	"bytes"
	"image"
	_ "image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "golang.org/x/image/webp"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// clip is the file of a short clip.
func clip(t *testing.T, f media.Format) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "clip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e, err := media.NewEncoder(f, file, media.Options{Width: 48, Height: 32, FPS: 8, Frames: 9})
	for range 9 {
		if err == nil {
			err = e.Add(media.Frame{W: 48, H: 32, RGB: make([]byte, 48*32*3)})
		}
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStills asks for pictures of clips of all formats.
func TestStills(t *testing.T) {
	f := newFake()
	h := api(f, nil, nil)
	id := completed(f)
	get := func(variant string, headers ...string) (int, string, string) {
		t.Helper()
		resp := ask(h, "GET", "/v1/videos/"+string(id)+"/content?variant="+variant, "", headers...)
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
	}
	animation, err := media.Animate([]media.Frame{{W: 8, H: 8, RGB: make([]byte, 192)}}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []media.Format{media.WebM, media.PNG, media.MP4} {
		f.set(id, func(v *coord.View) {
			v.Spec.Format = string(format)
			if format != media.MP4 {
				f.objects["o1"] = clip(t, format)
			}
			v.Result.Video.Size = int64(len(f.objects["o1"]))
		})
		f.preview = animation
		wide := map[string]int{"thumbnail": 48, "spritesheet": 3 * 48}
		if format == media.MP4 {
			wide = map[string]int{"thumbnail": 8, "spritesheet": 8}
		}
		for variant, w := range wide {
			status, kind, body := get(variant)
			c, name, err := image.DecodeConfig(strings.NewReader(body))
			if status != 200 || err != nil || kind != "image/"+name || c.Width != w {
				t.Errorf("%s of %s: %d %s %.80s, %+v, %v", variant, format, status, kind, body, c, err)
			}
		}
		if status, kind, body := get("preview"); status != 200 || kind != media.AnimationType ||
			!media.IsAnimation([]byte(body)) || (format == media.MP4) != bytes.Equal([]byte(body), animation) {
			t.Errorf("preview of %s: %d %s", format, status, kind)
		}
	}
	if status, _, _ := get("thumbnail", `If-None-Match: "aa-thumbnail"`); status != 304 {
		t.Errorf("known: %d", status)
	}
	f.preview = nil
	if status, _, body := get("thumbnail"); status != 404 || !strings.Contains(body, "allowed: clips of") {
		t.Errorf("an mp4 without a preview: %d %s", status, body)
	}
	f.set(id, func(v *coord.View) { v.State = job.Running })
	if status, _, body := get("spritesheet"); status != 409 {
		t.Errorf("running: %d %s", status, body)
	}
	f.set(id, func(v *coord.View) { v.State, v.Spec.Format = job.Completed, "webm" })
	f.objects["o1"] = "damaged"
	if status, _, body := get("thumbnail"); status != 500 || !strings.Contains(body, "content_damaged") {
		t.Errorf("damaged: %d %s", status, body)
	}
}
