package media

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// stripes is a picture whose left half is red and whose right half is blue.
func stripes(w, h int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{R: 200, A: 255}
			if x >= w/2 {
				c = color.RGBA{B: 200, A: 255}
			}
			img.Set(x, y, c)
		}
	}
	return img
}

func TestPicturesAreFitted(t *testing.T) {
	for _, size := range [][2]int{{16, 16}, {64, 16}, {16, 64}, {17, 5}, {4, 4}} {
		f := Fit(stripes(size[0], size[1]), 16, 8)
		left, right := f.RGB[:3], f.RGB[3*15:3*16]
		if f.W != 16 || f.H != 8 || len(f.RGB) != 3*16*8 || left[0] < 150 || right[2] < 150 {
			t.Errorf("%v: left %v, right %v", size, left, right)
		}
	}
	img := stripes(16, 8)
	if f := Fit(img, 16, 8); f.RGB[0] != 200 || f.RGB[1] != 0 || f.RGB[3*8+2] != 200 {
		t.Errorf("a picture of the clip's size has changed: %v", f.RGB[:3*16])
	}
}

func TestPicturesAreRead(t *testing.T) {
	var p, j bytes.Buffer
	if err := png.Encode(&p, stripes(8, 6)); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&j, stripes(8, 6), nil); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{p.Bytes(), j.Bytes()} {
		img, err := read(t, data)
		if err != nil || img.Bounds().Dx() != 8 || img.Bounds().Dy() != 6 || !img.Opaque() {
			t.Errorf("%v, %v", img, err)
		}
		if _, err := read(t, data[:len(data)/2]); !errors.Is(err, ErrPicture) {
			t.Errorf("half a picture: %v", err)
		}
	}
	for says, data := range map[string][]byte{
		"65535x65535": huge(65535, 65535), "1x16385": huge(1, 16385), "16385x1": huge(16385, 1),
		"4097x4097": huge(4097, 4097), "of another kind": []byte("hello"), "kind gif": []byte("GIF89a"),
		"kind heic":         []byte("\x00\x00\x00\x18ftypheic"),
		"kind mp4 video":    []byte("\x00\x00\x00\x18ftypisom"),
		"it has no picture": []byte("RIFF\x04\x00\x00\x00WEBP"),
		"an animation":      []byte("RIFF\x0c\x00\x00\x00WEBPANIM\x00\x00\x00\x00"),
	} {
		if _, err := read(t, data); !errors.Is(err, ErrPicture) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	if _, err := ReadPicture(t.Context(), endless{}); !errors.Is(err, ErrPicture) {
		t.Errorf("no end: %v", err)
	}
}

func read(t testing.TB, data []byte) (*image.RGBA, error) {
	return ReadPicture(t.Context(), bytes.NewReader(data))
}

// endless has no end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestPicturesAreThoseOfPillow compares colours and sizes: transparency, palettes, depths, CMYK,
// and the eight orientations.
func TestPicturesAreThoseOfPillow(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "pictures.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		parts := strings.Split(strings.TrimSpace(line), " | ")
		data, err := base64.StdEncoding.DecodeString(parts[3])
		if err != nil {
			t.Fatal(err)
		}
		img, err := read(t, data)
		if err != nil {
			t.Errorf("%s: %v", parts[0], err)
			continue
		}
		w, h := img.Rect.Dx(), img.Rect.Dy()
		if size := fmt.Sprintf("%d %d", w, h); size != parts[1] {
			t.Errorf("%s is %s, want %s", parts[0], size, parts[1])
		}
		want := strings.Fields(parts[2])
		for i, at := range [][2]int{{3, 3}, {w - 4, 3}, {3, h - 4}, {w - 4, h - 4}} {
			for c := range 3 {
				got := int(img.Pix[img.PixOffset(at[0], at[1])+c])
				v, err := strconv.Atoi(want[3*i+c])
				const rounding = 2 // of decoders
				if err != nil || got < v-rounding || got > v+rounding {
					t.Errorf("%s: colour %d at %v is %d, want %s", parts[0], c, at, got, want[3*i+c])
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("%d pictures", n)
	}
}

// progressive is a JPEG of one colour whose scans all pass over all blocks, in runs of empty ones.
func progressive(side, scans int) []byte {
	part := func(marker byte, b ...byte) []byte {
		return append([]byte{0xff, marker, byte((len(b) + 2) >> 8), byte(len(b) + 2)}, b...)
	}
	table := func(class, value byte) []byte { // one code of one bit
		return part(0xc4, append(append([]byte{class, 1}, make([]byte, 15)...), value)...)
	}
	out := append([]byte{0xff, 0xd8}, part(0xdb, bytes.Repeat([]byte{1}, 65)...)...)
	out[6] = 0 // the table's number
	high, low := byte(side>>8), byte(side)
	out = append(out, part(0xc2, 8, high, low, high, low, 1, 1, 0x11, 0)...)
	out = append(append(out, table(0, 0)...), table(0x10, 0xe0)...)
	blocks := ((side + 7) / 8) * ((side + 7) / 8)
	out = append(append(out, part(0xda, 1, 1, 0, 0, 0, 0)...), make([]byte, (blocks+7)/8)...)
	for range scans - 1 {
		out = append(out, part(0xda, 1, 1, 0, 1, 63, 0)...)
		for left := blocks; left > 0; left -= 1 << 14 { // a run's code, its 14 bits, filled up
			out = append(out, 0, 1)
		}
	}
	return append(out, 0xff, 0xd9)
}

// TestScansAreCounted wants a small file that would take minutes to be refused before it is
// decoded, and what encoders write to pass.
func TestScansAreCounted(t *testing.T) {
	if _, err := read(t, progressive(64, scansMax)); err != nil {
		t.Errorf("%d scans: %v", scansMax, err)
	}
	for _, data := range [][]byte{progressive(64, scansMax+1), progressive(4096, 60),
		progressive(4096, 8000)} {
		if _, err := read(t, data); !errors.Is(err, ErrPicture) ||
			!strings.Contains(err.Error(), "too much work") {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
}

// TestPicturesAreDecodedOneByOne wants one that waits to give up when its client has left, and one
// that is decoded likewise.
func TestPicturesAreDecodedOneByOne(t *testing.T) {
	decoding <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := ReadPicture(ctx, endless{})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("one that waits: %v", err)
	}
	<-decoding

	ctx, cancel = context.WithCancel(t.Context())
	data := progressive(512, 2)
	if _, err := ReadPicture(ctx, &leaving{bytes.NewReader(data), cancel}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("one whose client leaves: %v", err)
	}
}

// leaving is a file whose client leaves when it has been sent.
type leaving struct {
	io.Reader
	leave func()
}

func (l *leaving) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if err != nil {
		l.leave()
	}
	return n, err
}

// huge is the beginning of a PNG of w x h pixels.
func huge(w, h uint16) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err) // never, into memory
	}
	data := b.Bytes()
	copy(data[16:], []byte{0, 0, byte(w >> 8), byte(w), 0, 0, byte(h >> 8), byte(h)})
	sum := crc32.ChecksumIEEE(data[12:29])
	copy(data[29:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return data
}

func FuzzReadPicture(f *testing.F) {
	var p bytes.Buffer
	if err := png.Encode(&p, stripes(8, 6)); err != nil {
		f.Fatal(err)
	}
	f.Add(p.Bytes())
	f.Add(huge(65535, 65535))
	f.Add(progressive(16, 3))
	text, err := os.ReadFile(filepath.Join("testdata", "pictures.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if parts := strings.Split(strings.TrimSpace(line), " | "); line[0] != '#' {
			data, err := base64.StdEncoding.DecodeString(parts[3])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := read(t, data)
		if err != nil {
			return
		}
		if !img.Opaque() || img.Rect.Dx() > PictureSideMax || img.Rect.Dx()*img.Rect.Dy() > PictureMax {
			t.Errorf("%v", img.Rect)
		}
		if got := Fit(img, 8, 16); len(got.RGB) != 3*8*16 {
			t.Errorf("%d values", len(got.RGB))
		}
	})
}
