package media

import (
	"image"
	"image/color"
)

// upright turns a picture by an EXIF orientation, and makes its pixels 8-bit RGB.
func upright(img image.Image, orientation int) *image.RGBA {
	b, at := img.Bounds(), colours(img)
	w, h := b.Dx(), b.Dy()
	size := image.Pt(w, h)
	if orientation >= 5 {
		size = image.Pt(h, w)
	}
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

// turned returns where a pixel of a w x h picture goes by an EXIF orientation.
func turned(orientation, x, y, w, h int) image.Point {
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
	return image.Pt(x, y)
}

// colours returns how the colour of a pixel is found: that which is stored, of 16 bits the upper 8,
// without regard to transparency.
func colours(img image.Image) func(x, y int) (r, g, b uint8) {
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
		return func(x, y int) (r, g, b uint8) { return stored(m.At(x, y)) }
	}
	return func(x, y int) (r, g, b uint8) { return stored(img.At(x, y)) }
}

// stored returns the colour of a pixel as it was in the file; only NRGBA can be transparent in PNG.
func stored(c color.Color) (r, g, b uint8) {
	if n, ok := c.(color.NRGBA); ok {
		return n.R, n.G, n.B
	}
	wr, wg, wb, _ := c.RGBA()
	return uint8(wr >> 8), uint8(wg >> 8), uint8(wb >> 8)
}

// videoYCbCr is a picture in the colours of television, which VP8 has: luma from 16 to 235.
type videoYCbCr struct{ image.YCbCr }

// rgb returns the colour of a pixel as libwebp's VP8YUVToR and its companions do.
func (m *videoYCbCr) rgb(x, y int) (r, g, b uint8) {
	i, j := m.YOffset(x, y), m.COffset(x, y)
	luma, u, v := int(m.Y[i])*19077>>8, int(m.Cb[j]), int(m.Cr[j])
	return clip6(luma + v*26149>>8 - 14234), clip6(luma - u*6419>>8 - v*13320>>8 + 8708),
		clip6(luma + u*33050>>8 - 17685)
}

// clip6 takes six bits of fraction off.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
