package media

import (
	"image"
	"image/color"
)

// upright turns a picture by an EXIF orientation, and makes its pixels 8-bit RGB, opaque.
func upright(img image.Image, orientation int) *image.RGBA {
	b, at := img.Bounds(), colourReader(img)
	w, h := b.Dx(), b.Dy()
	size := image.Pt(w, h)
	if orientation >= 5 {
		size = image.Pt(h, w)
	}

	// From 5 on, width and height are exchanged.
	out := image.NewRGBA(image.Rectangle{Max: size})

	for y := range h {
		for x := range w {
			to := turned(orientation, x, y, w, h)
			i := to.Y*out.Stride + 4*to.X
			p := out.Pix[i : i+4 : i+4]
			p[0], p[1], p[2] = at(b.Min.X+x, b.Min.Y+y)
			p[3] = 0xff
		}
	}
	return out
}

// turned returns where pixel (x, y) of a w x h picture goes by an EXIF orientation. From 5 on, rows
// become columns, so that the picture that it goes to is h x w.
func turned(orientation, x, y, w, h int) image.Point {
	// The numbers say where the first row and the first column of the stored picture are shown.
	switch orientation {
	case 2: // mirrored
		return image.Pt(w-1-x, y)
	case 3: // upside down
		return image.Pt(w-1-x, h-1-y)
	case 4: // both
		return image.Pt(x, h-1-y)
	case 5: // mirrored along the diagonal
		return image.Pt(y, x)
	case 6: // to be turned clockwise
		return image.Pt(h-1-y, x)
	case 7: // mirrored along the other diagonal
		return image.Pt(h-1-y, w-1-x)
	case 8: // to be turned the other way
		return image.Pt(y, w-1-x)
	}

	// 1, or a number that EXIF does not have: as it is.
	return image.Pt(x, y)
}

// colourReader returns a function that finds the colour of a pixel as it is stored, without regard
// to transparency; of 16 bits it returns the upper 8. Common kinds have a quick way of their own.
func colourReader(img image.Image) func(x, y int) (r, g, b uint8) {
	// The kinds that Go's decoders make of 8-bit and 16-bit pictures; anything else goes through
	// At.
	switch m := img.(type) {
	case *videoYCbCr:
		return m.rgb
	case *image.YCbCr:
		return func(x, y int) (r, g, b uint8) {
			i, j := m.YOffset(x, y), m.COffset(x, y)
			return color.YCbCrToRGB(m.Y[i], m.Cb[j], m.Cr[j])
		}
	case *image.NRGBA:
		return func(x, y int) (r, g, b uint8) {
			p := m.Pix[m.PixOffset(x, y):]
			return p[0], p[1], p[2]
		}
	case *image.NRGBA64:
		return func(x, y int) (r, g, b uint8) {
			p := m.Pix[m.PixOffset(x, y):]
			return p[0], p[2], p[4]
		}
	case *image.Paletted:
		return func(x, y int) (r, g, b uint8) { return storedColour(m.At(x, y)) }
	}

	// Grey pictures and the like, which are rare.
	return func(x, y int) (r, g, b uint8) { return storedColour(img.At(x, y)) }
}

// storedColour returns a pixel's colour as it was in the file. Only NRGBA can be transparent in a
// PNG.
func storedColour(c color.Color) (r, g, b uint8) {
	if n, ok := c.(color.NRGBA); ok {
		return n.R, n.G, n.B
	}
	wr, wg, wb, _ := c.RGBA()
	return uint8(wr >> 8), uint8(wg >> 8), uint8(wb >> 8)
}

// videoYCbCr is a picture in the colours of television, which VP8 has: luma from 16 to 235.
type videoYCbCr struct{ image.YCbCr }

// rgb returns the colour of a pixel with the fixed-point arithmetic of libwebp (VP8YUVToR and its
// companions), whose results browsers show.
func (m *videoYCbCr) rgb(x, y int) (r, g, b uint8) {
	i, j := m.YOffset(x, y), m.COffset(x, y)

	// Coefficients in 14 bits of fraction, of which 8 are dropped at once.
	luma, u, v := int(m.Y[i])*19077>>8, int(m.Cb[j]), int(m.Cr[j])
	return clip6(luma + v*26149>>8 - 14234), clip6(luma - u*6419>>8 - v*13320>>8 + 8708),
		clip6(luma + u*33050>>8 - 17685)
}

// clip6 drops six bits of fraction, and clamps to a byte.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
