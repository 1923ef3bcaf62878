package media

import (
	"archive/zip"
	"bytes"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func TestPNGComesBackExactly(t *testing.T) {
	o := Options{Width: 31, Height: 17, FPS: 1, Frames: 3}
	var b bytes.Buffer
	encode(t, PNG, &b, o, 3)
	dir := t.TempDir()
	if n, err := Unzip(bytes.NewReader(b.Bytes()), int64(b.Len()), dir); n != 3 || err != nil {
		t.Fatalf("%d frames, %v", n, err)
	}
	for i := range 3 {
		file, err := os.Open(filepath.Join(dir, frameName(i)))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		want := picture(i, o.Width, o.Height)
		for p := range o.Width * o.Height {
			c := color.NRGBAModel.Convert(img.At(p%o.Width, p/o.Width)).(color.NRGBA)
			if !bytes.Equal([]byte{c.R, c.G, c.B}, want.RGB[3*p:3*p+3]) {
				t.Fatalf("frame %d, pixel %d: %v", i, p, c)
			}
		}
	}
}

func zipOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		w, err := z.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnzipRefusesOtherNames(t *testing.T) {
	for _, names := range [][]string{{"../00000.png"}, {"/etc/x"}, {"00001.png"},
		{"00000.png", "00000.png"}, {"00000.png", "sub/00001.png"}} {
		b, dir := zipOf(t, names...), t.TempDir()
		if _, err := Unzip(bytes.NewReader(b), int64(len(b)), dir); err == nil {
			t.Errorf("%v was accepted", names)
		}
	}
}

// FuzzUnzip holds that nothing but frames is ever written, whatever the zip says.
func FuzzUnzip(f *testing.F) {
	f.Add(zipOf(f, "00000.png", "00001.png"))
	f.Add(zipOf(f, "../00000.png"))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "frames")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		n, err := Unzip(bytes.NewReader(b), int64(len(b)), dir)
		got, gerr := os.ReadDir(dir)
		if gerr != nil || err == nil && len(got) != n || len(got) > n+1 {
			t.Errorf("%d files for %d frames: %v, %v", len(got), n, err, gerr)
		}
		if up, _ := os.ReadDir(parent); len(up) != 1 {
			t.Errorf("files outside the folder: %v", up)
		}
	})
}
