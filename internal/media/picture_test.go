package media

import (
	"bytes"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
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
		img, err := ReadPicture(bytes.NewReader(data))
		if err != nil || img.Bounds().Dx() != 8 || img.Bounds().Dy() != 6 {
			t.Errorf("%v, %v", img, err)
		}
		if _, err := ReadPicture(bytes.NewReader(data[:len(data)/2])); !errors.Is(err, ErrPicture) {
			t.Errorf("half a picture: %v", err)
		}
	}
	if _, err := ReadPicture(bytes.NewReader(huge())); !errors.Is(err, ErrPicture) {
		t.Errorf("a huge picture: %v", err)
	}
}

// huge is the beginning of a PNG of 65535 x 65535 pixels.
func huge() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err) // never, into memory
	}
	data := b.Bytes()
	copy(data[16:], []byte{0, 0, 255, 255, 0, 0, 255, 255})
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
	f.Add(huge())
	f.Fuzz(func(t *testing.T, data []byte) {
		if img, err := ReadPicture(bytes.NewReader(data)); err == nil {
			if got := Fit(img, 8, 16); len(got.RGB) != 3*8*16 {
				t.Errorf("%d values", len(got.RGB))
			}
		}
	})
}
