package media

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// interrupted writes a clip up to frame `until` into a file, and returns what Tap saw: the header,
// then the clusters.
func interrupted(t testing.TB, o Options, until int) (pieces [][]byte) {
	t.Helper()
	e, err := NewEncoder(WebM, Tap(&seekable{}, func(b []byte, _ bool) {
		pieces = append(pieces, bytes.Clone(b))
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Abort()
	for i := range until {
		if err := e.Add(picture(i, o.Width, o.Height)); err != nil {
			t.Fatal(err)
		}
	}
	if until == o.Frames {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return pieces
}

// seekable takes everything.
type seekable struct{ bytes.Buffer }

func (*seekable) Seek(int64, int) (int64, error) { return 0, nil }

// whole returns the clip that one encoder writes into a file.
func whole(t testing.TB, o Options, n int) []byte {
	t.Helper()
	f := temporary(t)
	encode(t, WebM, f, o, n)
	return content(t, f)
}

func temporary(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "clip"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t testing.TB, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAClipContinuesToTheSameBytes keeps a clip's header and n clusters in a file, and writes the
// rest after them. At 24 frames a second times are not whole milliseconds.
func TestAClipContinuesToTheSameBytes(t *testing.T) {
	for _, o := range []Options{{Width: 32, Height: 16, FPS: 4, Frames: 13},
		{Width: 32, Height: 16, FPS: 24, Frames: 50}, {Width: 16, Height: 16, FPS: 4, Frames: 8},
		{Width: 16, Height: 16, FPS: 2}, {Width: 16, Height: 16, FPS: 1, Frames: 3},
		{Width: 16, Height: 16, FPS: 5000, Per: 1001, Frames: 12},
		{Width: 16, Height: 16, FPS: 5, Per: 2, Frames: 8}} {
		frames := cmp.Or(o.Frames, 9)
		want, pieces := whole(t, o, frames), interrupted(t, o, frames)
		for n := range pieces {
			f := temporary(t)
			f.Write(bytes.Join(pieces[:n+1], nil))
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				t.Fatal(err)
			}
			tapped := 0
			e, kept, err := Continue(WebM, Tap(f, func([]byte, bool) { tapped++ }), o, f, at)
			if err != nil {
				t.Fatalf("%+v, %d clusters: %v", o, n, err)
			}
			if expected := min(n*o.second(), frames); kept != expected {
				t.Errorf("%+v, %d clusters: %d frames, want %d", o, n, kept, expected)
			}
			for i := kept; i < frames; i++ {
				if err := e.Add(picture(i, o.Width, o.Height)); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(content(t, f), want) {
				t.Errorf("%+v: another clip after %d clusters", o, n)
			}
			if clusters := (frames + o.second() - 1) / o.second(); tapped != clusters-n {
				t.Errorf("%+v, %d clusters: %d more were seen, want %d", o, n, tapped, clusters-n)
			}
		}
	}
}

// TestWhatIsNoBeginningIsRefused spoils what was kept, or asks for another clip.
func TestWhatIsNoBeginningIsRefused(t *testing.T) {
	o := Options{Width: 32, Height: 16, FPS: 4, Frames: 10}
	pieces := interrupted(t, o, 10)
	header, first, second, last := pieces[0], pieces[1], pieces[2], pieces[3]
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	f := func(what string, o Options, kept []byte) {
		t.Helper()
		_, n, err := Continue(WebM, io.Discard, o, bytes.NewReader(kept), int64(len(kept)))
		if err == nil {
			t.Errorf("%s: continues from frame %d", what, n)
		}
	}
	f("nothing", o, nil)
	f("half of a header", o, header[:20])
	f("a cluster without a header", o, first)
	f("half of a cluster", o, join(header, first[:len(first)/2]))
	f("a cluster that is not the next one", o, join(header, second))
	f("the last cluster too early", o, join(header, first, last))
	f("a cluster twice", o, join(header, first, first))
	f("more than the clip", o, join(header, first, second, last, last))
	f("something after it", o, join(header, first, []byte{0}))
	f("another element", o, join(header, element(idVoid, nil)))
	f("a cluster without frames", o, join(header, element(idCluster, number(idTimestamp, 0))))
	for _, other := range []Options{{Width: 16, Height: 16, FPS: 4, Frames: 10},
		{Width: 32, Height: 16, FPS: 5, Frames: 10}, {Width: 32, Height: 16, FPS: 4, Frames: 9}} {
		f("another clip", other, join(header, first))
	}
	for _, format := range []Format{MP4, PNG} {
		if _, _, err := Continue(format, io.Discard, o, bytes.NewReader(header),
			int64(len(header))); err == nil || format.Continues() {
			t.Errorf("%s continues", format)
		}
	}
}

// FuzzContinue wants any bytes to be refused, or to be taken for a whole number of seconds.
func FuzzContinue(f *testing.F) {
	o := Options{Width: 16, Height: 16, FPS: 2, Frames: 5}
	pieces := interrupted(f, o, 5)
	for n := range pieces {
		f.Add(bytes.Join(pieces[:n+1], nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, n, err := Continue(WebM, io.Discard, o, bytes.NewReader(b), int64(len(b)))
		if err == nil && (n > o.Frames || n%o.FPS != 0 && n != o.Frames) {
			t.Errorf("%d frames", n)
		}
	})
}
