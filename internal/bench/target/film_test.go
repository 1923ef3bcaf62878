package target

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/target/targettest"
	"github.com/longtake/longtake/internal/media"
)

// webm makes a file as shards make them.
func webm(t testing.TB, o media.Options) []byte {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "a.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e, err := media.NewEncoder(media.WebM, file, o)
	if err != nil {
		t.Fatal(err)
	}
	for range o.Frames {
		if err := e.Add(media.Frame{W: o.Width, H: o.Height,
			RGB: make([]byte, 3*o.Width*o.Height)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFilmsAreRead: what MP4 and WebM files say of themselves, whole and cut.
func TestFilmsAreRead(t *testing.T) {
	mp4 := targettest.MP4(targettest.Clip{Width: 1280, Height: 720, Frames: 81, FPS: 16})
	ours := webm(t, media.Options{Width: 32, Height: 16, FPS: 8, Frames: 9})
	for _, c := range []struct {
		file                 []byte
		kind                 string
		width, height, frame int
		rate                 float64
	}{{mp4, "mp4", 1280, 720, 81, 16}, {ours, "webm", 32, 16, 9, 8}} {
		f, err := examine(bytes.NewReader(c.file), 1<<20, nil)
		if err != nil || f.damage != "" || f.kind != c.kind || f.width != c.width ||
			f.height != c.height || f.frames != c.frame || f.rate < c.rate*0.99 || f.rate > c.rate*1.01 ||
			f.bytes != int64(len(c.file)) {
			t.Errorf("%s: %+v, %v", c.kind, f, err)
		}

		f, err = examine(bytes.NewReader(c.file[:len(c.file)-len(c.file)/3]), 1<<20, nil)
		if err != nil || f.damage == "" && f.frames == c.frame {
			t.Errorf("%s, cut: %+v, %v", c.kind, f, err)
		}
		if _, err := examine(bytes.NewReader(c.file), 100, nil); err == nil {
			t.Errorf("%s: more than the limit was taken", c.kind)
		}
	}
	f, err := examine(strings.NewReader(""), 1, nil)
	if err != nil || f.damage != "it is empty" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestFramesNearby: models make 4n+1 frames, so a server may make other numbers of them.
func TestFramesNearby(t *testing.T) {
	for _, c := range []struct {
		asked, made int
		ok          bool
	}{{81, 81, true}, {81, 77, false}, {80, 81, true}, {83, 81, true}, {84, 85, true}, {80, 85, false},
		{0, 5, true}, {80, 0, true}} {
		if err := (film{frames: c.made}).compare(Request{Frames: c.asked}); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestVideosInJSONAreNotHeld: a video of megabytes is hashed on its way, and what is around it
// read.
func TestVideosInJSONAreNotHeld(t *testing.T) {
	file := targettest.MP4(targettest.Clip{Width: 64, Height: 32, Frames: 2001, FPS: 16})
	text := base64.StdEncoding.EncodeToString(file)
	for _, slash := range []string{"/", `\/`} {
		in := `{"id": "a\"\\", "data": [{"b64_json": "` + strings.ReplaceAll(text, "/", slash) +
			`", "url": null}], "status": "completed"}`
		a, err := readAnswer(strings.NewReader(in), 1<<24, nil)
		if err != nil || a.video == nil || a.video.frames != 2001 || a.video.bytes != int64(len(file)) {
			t.Fatalf("%+v, %v", a, err)
		}
		want := `{"id": "a\"\\", "data": [{"b64_json": "(sifted)", "url": null}], "status": "completed"}`
		if string(a.rest) != want {
			t.Errorf("the rest is %s", a.rest)
		}
	}

	long := strings.Repeat("A", longText+8)
	for in, says := range map[string]string{
		`{"a": "` + long + `", "b": "` + long + `"}`: "two long texts",
		`{"a": "` + long:                 "cannot read",
		`{"a": "` + long + `\n"}`:        "cannot read",
		`{"a": "` + long + `!!!!"}`:      "cannot read",
		strings.Repeat("[", answerMax+5): "more than 1048576 bytes",
	} {
		if _, err := readAnswer(strings.NewReader(in), 1<<24, nil); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%.20q...: %v, want %q", in, err, says)
		}
	}
}

// FuzzAnswers: whatever a server answers, reading it ends, within bounds, and is the same again.
func FuzzAnswers(f *testing.F) {
	clip := targettest.MP4(targettest.Clip{Width: 64, Height: 32, Frames: 9, FPS: 16})
	f.Add(clip)
	f.Add(webm(f, media.Options{Width: 16, Height: 16, FPS: 4, Frames: 3}))
	f.Add([]byte(`{"video_id": "a", "video_bytes": "AAAA"}`))
	f.Add([]byte(`{"id": "a", "status": "completed", "data": [{"url": "/x"}]}`))
	f.Add([]byte(`{"detail": [{"loc": ["body", 1], "msg": "m"}]}`))
	long, _ := json.Marshal(map[string]any{"b64_json": bytes.Repeat(clip, 5)})
	f.Add(long)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b), 1<<16, nil)
		again, err2 := readAnswer(bytes.NewReader(b), 1<<16, nil)
		if (err == nil) != (err2 == nil) || !bytes.Equal(a.rest, again.rest) ||
			a.video != nil && again.video != nil && *a.video != *again.video {
			t.Errorf("%+v, %v; then %+v, %v", a, err, again, err2)
		}
		if len(a.rest) > answerMax || err == nil && a.video != nil && a.video.bytes > 1<<16 {
			t.Errorf("%d bytes of JSON, %+v", len(a.rest), a.video)
		}
		if c, err := readClip(b); err == nil && (c.ID == "" || c.Status == "") {
			t.Errorf("%+v", c)
		}
		if s := reason(b); s == "" || strings.Contains(s, "\n") || len(s) > 4*shownMax+3 {
			t.Errorf("%q", s)
		}
	})
}
