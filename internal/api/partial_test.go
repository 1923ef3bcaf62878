package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// TestPartialSaysHowLongItIs: the header of two seconds of five does not say five.
func TestPartialSaysHowLongItIs(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	if _, err := c.Create(t.Context(), job.Request{}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "a.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var parts []string
	begin := ""
	tap := media.Tap(file, func(b []byte, cluster bool) {
		if !cluster {
			begin = string(b)
			return
		}
		parts, begin = append(parts, begin+string(b)), ""
	})
	o := media.Options{Width: 32, Height: 32, FPS: 4, Frames: 20}
	e, err := media.NewEncoder(media.WebM, tap, o)
	if err != nil {
		t.Fatal(err)
	}
	for range o.Frames {
		if err := e.Add(media.Frame{W: 32, H: 32, RGB: make([]byte, 3*32*32)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	f.objects["a"], f.objects["b"] = parts[0], parts[1]
	f.set("video_0", func(v *coord.View) {
		v.State, v.Spec.Format = job.Running, "webm"
		v.Spec.Width, v.Spec.Height, v.Spec.Frames = o.Width, o.Height, o.Frames
		v.Spec.FPS = job.Rate(o.FPS)
		v.Parts = map[string]job.Object{"video.0000": {Name: "a", Size: int64(len(parts[0]))},
			"video.0001": {Name: "b", Size: int64(len(parts[1]))}}
	})
	status, body, _ := do(t, c, "GET", "/v1/videos/video_0/content?variant=partial", "", "")
	const duration, twoSeconds, fiveSeconds = "\x44\x89\x88", "\x40\x9f\x40\x00\x00\x00\x00\x00",
		"\x40\xb3\x88\x00\x00\x00\x00\x00" // as 64-bit floats, of milliseconds
	if !strings.Contains(parts[0], duration+fiveSeconds) {
		t.Fatal("the clip's header does not say what this test looks for")
	}
	if status != 200 || !strings.Contains(body, duration+twoSeconds) ||
		!strings.HasSuffix(body, parts[1]) || strings.Contains(body, fiveSeconds) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
}
