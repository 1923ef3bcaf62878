package golden

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// Picture returns a PNG of w x h pixels whose colours tools/twins_i2v.py computes, too, so that
// goldens need not store what they were made from. Each seed gives another one.
func Picture(t testing.TB, w, h, seed int) (*image.RGBA, []byte) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			at := func(c int) uint8 {
				return uint8(3*x + 5*y + 40*c + 60*seed + x*y*(seed+1)%23*3) //nolint:gosec // modulo 256
			}
			img.SetRGBA(x, y, color.RGBA{at(0), at(1), at(2), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return img, b.Bytes()
}
