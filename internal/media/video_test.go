package media

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ramp is frame i of a clip in which every frame has one grey of its own.
func ramp(i, w, h int) Frame {
	return Frame{W: w, H: h, RGB: bytes.Repeat([]byte{byte(16 * i)}, 3*w*h)}
}

// fileOf writes bytes to a file that is open for the rest of the test.
func fileOf(t testing.TB, name string, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// encoded is a clip of n ramp frames in a format.
func encoded(t testing.TB, format Format, n int, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := NewEncoder(format, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := e.Add(ramp(i, o.Width, o.Height)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// greys opens a video and returns the number of each frame's grey in the ramp.
func greys(t testing.TB, f *os.File, rate FrameRate, most int) (*Video, []int) {
	t.Helper()
	v, err := OpenVideo(t.Context(), f, rate, most)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	if err := v.Read(t.Context(), v.Frames, func(i int, img image.Image) error {
		c := Fit(img, 4, 4).RGB[20]
		out = append(out, (int(c)+8)/16)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(out) != v.Frames || v.W != 32 || v.H != 16 {
		t.Errorf("%d frames were read of %d, %dx%d", len(out), v.Frames, v.W, v.H)
	}
	return v, out
}

// TestVideosAreReadAtARate reads the same clip from each kind of file, at its own rate, at twice
// that and at half of it.
func TestVideosAreReadAtARate(t *testing.T) {
	o := Options{Width: 32, Height: 16, FPS: 8}
	var frames []Frame
	for i := range 6 {
		frames = append(frames, ramp(i, 32, 16))
	}
	webp, err := Animate(frames, 125)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"a.zip": encoded(t, PNG, 6, o), "a.webp": webp}
	if _, err := exec.LookPath("ffmpeg"); err == nil {
		files["a.webm"] = encoded(t, WebM, 6, o)
		o.Quality = 95
		files["a.mp4"] = encoded(t, MP4, 6, o)
	}

	for name, data := range files {
		f := fileOf(t, name, data)
		if IsVideo(data[:32]) != true {
			t.Errorf("%s is taken for a picture", name)
		}
		if _, got := greys(t, f, FrameRate{8, 1}, 100); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
			t.Errorf("%s at its rate: %v", name, got)
		}
		if _, got := greys(t, f, FrameRate{8, 1}, 3); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("three frames of %s: %v", name, got)
		}
		if name == "a.zip" {
			continue // pictures have no times
		}
		if _, got := greys(t, f, FrameRate{16, 1}, 100); !slices.Equal(got,
			[]int{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}) {
			t.Errorf("%s at twice its rate: %v", name, got)
		}
		if v, _ := greys(t, f, FrameRate{4, 1}, 100); v.Frames != 3 {
			t.Errorf("%s at half its rate has %d frames", name, v.Frames)
		}
	}
}

// TestVideosThatCannotBeRead wants every file that is none to be an ErrVideo, and to be named.
func TestVideosThatCannotBeRead(t *testing.T) {
	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	w, _ := zw.Create("a.png")
	fmt.Fprint(w, "no picture")
	zw.Close()
	for name, data := range map[string]string{
		"cut.mp4":       "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
		"playlist.m3u8": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
		"list.txt":      "ffconcat version 1.0\nfile /etc/passwd\n",
		"text.webm":     "nothing of the kind",
		"a.zip":         z.String(),
		"cut.zip":       "PK\x03\x04",
		"empty":         "",
	} {
		_, err := OpenVideo(t.Context(), fileOf(t, name, []byte(data)), FrameRate{8, 1}, 10)
		if !errors.Is(err, ErrVideo) || strings.Contains(err.Error(), "0x") ||
			strings.Contains(err.Error(), "file:") {
			t.Errorf("%s: %v", name, err)
		}
	}

	t.Setenv("PATH", t.TempDir())
	_, err := OpenVideo(t.Context(), fileOf(t, "a.mp4", []byte("....ftyp")), FrameRate{8, 1}, 10)
	if err == nil || !strings.Contains(err.Error(), "ffmpeg is not on the PATH") {
		t.Errorf("without ffmpeg: %v", err)
	}
}

// TestReadingAVideoStops ends reading by the caller's error and by its context.
func TestReadingAVideoStops(t *testing.T) {
	f := fileOf(t, "a.zip", encoded(t, PNG, 6, Options{Width: 32, Height: 16, FPS: 8}))
	v, err := OpenVideo(t.Context(), f, FrameRate{8, 1}, 10)
	if err != nil {
		t.Fatal(err)
	}
	over := errors.New("over")
	if err := v.Read(t.Context(), 6, func(int, image.Image) error { return over }); err != over {
		t.Errorf("the caller's error became %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = v.Read(ctx, 6, func(int, image.Image) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

// FuzzPPM holds that no stream of pixmaps makes the reader panic or read what is not there.
func FuzzPPM(f *testing.F) {
	f.Add([]byte("P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz"))
	f.Add([]byte("P6\n2 1\n255\nabc"))
	f.Add([]byte("P6\n99999 99999\n255\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := len(b)
		_ = readPPM(bufio.NewReader(bytes.NewReader(b)), func(img image.Image) error {
			if left -= 3 * img.Bounds().Dx() * img.Bounds().Dy(); left < 0 {
				t.Fatal("more pixels than bytes")
			}
			return nil
		})
	})
}

// FuzzAnimation holds that no WebP makes the player panic, or hand on frames without end.
func FuzzAnimation(f *testing.F) {
	good, err := Animate([]Frame{ramp(1, 8, 8), ramp(2, 8, 8)}, 40)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-9])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			t.Skip("longer than what makes a difference")
		}
		frames := 0
		_ = webpAnimation(b).play(t.Context(), FrameRate{16, 1}, func(image.Image) error {
			if frames++; frames > 20 {
				return errEnough
			}
			return nil
		})
	})
}
