package media

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/deepteams/webp/animation"
)

// clipFile writes a clip of n frames and returns its bytes.
func clipFile(t testing.TB, f Format, n, w, h int) []byte {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "clip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	encode(t, f, file, Options{Width: w, Height: h, FPS: 8, Frames: n}, n)
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStills reads single frames out of clips, and makes of them what clients ask for.
func TestStills(t *testing.T) {
	const n, w, h = 30, 48, 32
	for _, f := range []Format{WebM, PNG} {
		b := clipFile(t, f, n, w, h)
		s, err := OpenStills(f, bytes.NewReader(b), int64(len(b)))
		if err != nil || s.n != n {
			t.Fatalf("%s: %+v, %v", f, s, err)
		}
		for _, i := range []int{0, 7, n - 1} {
			img, err := s.scaled(i, 1000)
			if err != nil {
				t.Fatal(err)
			}
			got, want, off := FrameOf(img).RGB, picture(i, w, h).RGB, 0
			for k := range want {
				off += max(int(got[k])-int(want[k]), int(want[k])-int(got[k]))
			}
			if off > 12*len(want) {
				t.Errorf("%s: frame %d is off by %d on average", f, i, off/len(want))
			}
		}
		thumb, err := s.Thumbnail()
		if gw, gh, err2 := webpConfig(thumb); err != nil || err2 != nil || gw != w || gh != h {
			t.Errorf("%s: thumbnail %dx%d, %v, %v", f, gw, gh, err, err2)
		}
		sheet, err := s.Sheet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(sheet)); err != nil || c.Width != 5*w ||
			c.Height != 5*h {
			t.Errorf("%s: sheet %+v, %v", f, c, err)
		}
		moving, err := s.Animation(t.Context(), n/8.)
		if err != nil {
			t.Fatal(err)
		}
		a, err := animation.DecodeBytes(moving)
		if err != nil || len(a.Frames) != n || a.Frames[0].Duration.Milliseconds() != 125 {
			t.Errorf("%s: %d frames, %v", f, len(a.Frames), err)
		}
		again, err := OpenAnimation(moving)
		if err != nil || again.n != n {
			t.Fatalf("%s: %+v, %v", f, again, err)
		}
		if thumb, err := again.Thumbnail(); err != nil || !IsAnimation(thumb) {
			t.Errorf("%s: %v", f, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Sheet(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a client has left: %v", f, err)
		}
	}
	for n, want := range map[int][2]int{1: {1, 1}, 2: {2, 1}, 3: {2, 2}, 7: {3, 3}} {
		b := clipFile(t, WebM, n, w, h)
		s, err := OpenStills(WebM, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		sheet, err := s.Sheet(t.Context())
		c, err2 := jpeg.DecodeConfig(bytes.NewReader(sheet))
		if err != nil || err2 != nil || c.Width != want[0]*w || c.Height != want[1]*h {
			t.Errorf("%d frames: %+v, %v, %v", n, c, err, err2)
		}
	}
	if _, err := OpenStills(MP4, bytes.NewReader(nil), 0); !errors.Is(err, ErrNoStills) {
		t.Errorf("%v", err)
	}
}

// FuzzStills holds that no file makes the reader panic, or read for ever.
func FuzzStills(f *testing.F) {
	for _, kind := range []Format{WebM, PNG} {
		f.Add(string(kind), clipFile(f, kind, 3, 16, 16))
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		if a, err := OpenAnimation(b); err == nil {
			_, _ = a.Thumbnail()
		}
		s, err := OpenStills(Format(kind), bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		_, _ = s.Thumbnail()
		_, _ = s.Sheet(t.Context())
		_, _ = s.Animation(t.Context(), 1)
	})
}
