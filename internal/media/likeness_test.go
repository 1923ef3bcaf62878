package media

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// likeFile writes a clip of n frames, of which one may be another picture.
func likeFile(t *testing.T, f Format, n, w, odd int) *os.File {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "clip"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	e, err := NewEncoder(f, out, Options{Width: w, Height: 32, FPS: 8})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p := picture(i, w, 32)
		if i == odd {
			for j := range p.RGB {
				p.RGB[j] = 255 - p.RGB[j]
			}
		}
		if err := e.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestClipsAreCompared: by the frame that differs most, in both formats that are read without
// ffmpeg, and what has no counterpart is said.
func TestClipsAreCompared(t *testing.T) {
	rate := FrameRate{8, 1}
	f := func(a, b *os.File) Likeness {
		t.Helper()
		l, err := Compare(t.Context(), a, b, rate)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, format := range []Format{WebM, PNG} {
		a := likeFile(t, format, 9, 48, -1)
		if l := f(a, likeFile(t, format, 9, 48, -1)); !math.IsInf(l.PSNR, 1) || l.Other != "" {
			t.Errorf("%s, equal: %+v", format, l)
		}
		if l := f(a, likeFile(t, format, 9, 48, 7)); !(l.PSNR > 0 && l.PSNR < 15) {
			t.Errorf("%s, one frame is another: %+v", format, l)
		}
		for _, form := range [][2]int{{8, 48}, {10, 48}, {9, 32}} {
			odd := likeFile(t, format, form[0], form[1], -1)
			if l := f(a, odd); l.Other == "" {
				t.Errorf("%s, of another form: %+v", format, l)
			}
		}
	}
	l := f(likeFile(t, WebM, 3, 48, -1), likeFile(t, PNG, 3, 48, -1))
	if !(l.PSNR > 25 && l.PSNR < 60) {
		t.Errorf("WebM beside PNG: %+v", l)
	}

	// Without ffmpeg, of others nothing is known.
	t.Setenv("PATH", "")
	other, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.WriteString("\x00\x00\x00\x18ftypisom"); err != nil {
		t.Fatal(err)
	}
	if _, err := Compare(t.Context(), other, other, rate); !errors.Is(err, ErrNoDecoder) {
		t.Errorf("%v", err)
	}
}
