package media

import (
	"image"

	"golang.org/x/image/draw"
)

// Contain makes a frame [h, w, 3] with values in -1..1 of a picture that is shown whole: scaled to
// fit, by bilinear interpolation without smoothing, in the middle of white. It is what diffusers'
// WanVACEPipeline does with a reference picture. Sides that are no multiples of 8 are cut down to
// such first, as there, though by this package's filter.
func Contain(img image.Image, w, h int) []float32 {
	src := values(img)
	scale := min(float64(h)/float64(src.h), float64(w)/float64(src.w))
	high, wide := int(float64(src.h)*scale), int(float64(src.w)*scale)

	out := make([]float32, h*w*3)
	for i := range out {
		out[i] = 1
	}

	top, left := (h-high)/2, (w-wide)/2
	for y := range high {
		y0, y1, fy := between(y, src.h, high)
		for x := range wide {
			x0, x1, fx := between(x, src.w, wide)
			for c := range 3 {
				up := float32((1-fx)*src.at(y0, x0, c)) + float32(fx*src.at(y0, x1, c))
				low := float32((1-fx)*src.at(y1, x0, c)) + float32(fx*src.at(y1, x1, c))
				out[((top+y)*w+left+x)*3+c] = float32((1-fy)*up) + float32(fy*low)
			}
		}
	}
	return out
}

// between returns the two places of n that place i of `out` lies between, and how near it is to the
// second: torch's interpolate without align_corners.
func between(i, n, out int) (lo, hi int, part float32) {
	at := float32(n)/float32(out)*(float32(i)+0.5) - 0.5
	at = max(at, 0)
	lo = min(int(at), n-1)
	return lo, min(lo+1, n-1), at - float32(lo)
}

// floats is a picture as the model sees it, [h, w, 3] in -1..1.
type floats struct {
	w, h int
	v    []float32
}

func (f floats) at(y, x, c int) float32 { return f.v[(y*f.w+x)*3+c] }

// values converts a picture, after its sides were made multiples of 8.
func values(img image.Image) floats {
	const unit = 8
	b := img.Bounds()
	w, h := max(unit, b.Dx()/unit*unit), max(unit, b.Dy()/unit*unit)
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if b.Dx() == w && b.Dy() == h {
		draw.Draw(out, out.Rect, img, b.Min, draw.Src)
	} else {
		draw.CatmullRom.Scale(out, out.Rect, img, b, draw.Src, nil)
	}

	rgb := make([]uint8, 0, 3*w*h)
	for i := range w * h {
		rgb = append(rgb, out.Pix[4*i:4*i+3]...)
	}
	f := floats{w, h, make([]float32, len(rgb))}
	FromRGB(f.v, rgb)
	return f
}
