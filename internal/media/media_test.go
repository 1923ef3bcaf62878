package media

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
)

// picture is frame n of a test clip: a bright square that moves over a gradient.
func picture(n, w, h int) Frame {
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for y := range h {
		for x := range w {
			p := f.RGB[3*(y*w+x):]
			p[0], p[1], p[2] = uint8(x*255/w), uint8(y*255/h), 90
			if x/8 == n%4 && y/8 == 1 {
				p[0], p[1], p[2] = 250, 240, 20
			}
		}
	}
	return f
}

func encode(t testing.TB, f Format, w io.Writer, o Options, n int) {
	t.Helper()
	e, err := NewEncoder(f, w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Abort()
	for i := range n {
		if err := e.Add(picture(i, o.Width, o.Height)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestToRGB(t *testing.T) {
	src := []float32{-1, 1, 0, -2, 2, 1.0 / 255, -math.MaxFloat32}
	// 0 is 127.5, which rounds to the even 128; 1/255 is 128.
	want := []uint8{0, 255, 128, 0, 255, 128, 0}
	got := make([]uint8, len(src))
	if err := ToRGB(got, src); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var e *tensor.NotFiniteError
		src[3] = float32(bad)
		if err := ToRGB(got, src); !errors.As(err, &e) || e.At != 3 {
			t.Errorf("%v becomes a pixel: %v", bad, err)
		}
	}
}

func TestFormatOfPath(t *testing.T) {
	for path, want := range map[string]Format{"a.webm": WebM, "b/c.MP4": MP4, "frames/": PNG,
		"frames": PNG, "v1.5/": PNG, "a.b/clip": PNG} {
		if got, err := FormatOfPath(path); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "clip.avi", "clip.png"} {
		if got, err := FormatOfPath(path); err == nil {
			t.Errorf("%q: %q, want an error", path, got)
		}
	}
}

func TestEncoderRefuses(t *testing.T) {
	o := Options{Width: 8, Height: 8, FPS: 1, Frames: 2}
	f := func(change func(*Options), frames ...Frame) {
		t.Helper()
		opts := o
		change(&opts)
		e, err := NewEncoder(PNG, io.Discard, opts)
		for i := 0; err == nil && i < len(frames); i++ {
			err = e.Add(frames[i])
		}
		if err == nil {
			err = e.Close()
		}
		if err == nil {
			t.Errorf("%+v with %d frames was accepted", opts, len(frames))
		}
	}
	ok := picture(0, 8, 8)
	same := func(*Options) {}
	f(func(o *Options) { o.Width = 0 }, ok, ok)
	f(func(o *Options) { o.Height = 16384 }, ok, ok)
	f(func(o *Options) { o.FPS = 0 }, ok, ok)
	f(func(o *Options) { o.Per = 2 }, ok, ok)
	f(func(o *Options) { o.Per = -1 }, ok, ok)
	f(func(o *Options) { o.FPS, o.Per = 1<<40, 1<<39 }, ok, ok)
	f(func(o *Options) { o.Frames = -1 }, ok, ok)
	f(same)                              // no frame
	f(same, ok)                          // too few
	f(same, ok, ok, ok)                  // too many
	f(same, ok, picture(0, 8, 9))        // another size
	f(same, ok, Frame{W: 8, H: 8})       // no pixels
	f(func(o *Options) { o.Frames = 0 }) // no frame of an unknown number
	_, err := NewEncoder("gif", io.Discard, o)
	if err == nil || !strings.Contains(err.Error(), "webm") {
		t.Errorf("format gif: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFullDisk(t *testing.T) {
	for _, f := range []Format{WebM, PNG} {
		e, err := NewEncoder(f, failing{}, Options{Width: 64, Height: 64, FPS: 1})
		for i := 0; err == nil && i < 3; i++ {
			err = e.Add(picture(i, 64, 64))
		}
		if err == nil {
			err = e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s: %v", f, err)
		}
	}
}
