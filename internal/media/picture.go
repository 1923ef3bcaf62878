package media

import (
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // for image.Decode
	_ "image/png"  // for image.Decode
	"io"

	"golang.org/x/image/draw"
)

// PictureMax bounds the pixels of a picture that is read.
const PictureMax = 1 << 25

// ErrPicture says that bytes are no picture that can be read.
var ErrPicture = errors.New("no PNG or JPEG picture")

// ReadPicture reads a PNG or JPEG picture of up to PictureMax pixels from its start.
func ReadPicture(r io.ReadSeeker) (image.Image, error) {
	c, _, err := image.DecodeConfig(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > PictureMax/c.Height {
		return nil, fmt.Errorf("%w of up to %d pixels: it is %dx%d", ErrPicture, PictureMax, c.Width,
			c.Height)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	return img, nil
}

// Fit makes a frame of a picture: scaled so that it covers w x h pixels, its edges cut. What shines
// through becomes black.
func Fit(img image.Image, w, h int) Frame {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Bounds(), img, cover(img.Bounds(), w, h), draw.Src, nil)
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for i := range w * h {
		copy(f.RGB[3*i:3*i+3], out.Pix[4*i:4*i+3])
	}
	return f
}

// cover returns the largest part of b, in its middle, that has the shape of w x h.
func cover(b image.Rectangle, w, h int) image.Rectangle {
	across, down := b.Dx(), b.Dy()
	if across*h > down*w {
		across = max(1, (down*w+h/2)/h)
	} else {
		down = max(1, (across*h+w/2)/w)
	}
	at := b.Min.Add(image.Pt((b.Dx()-across)/2, (b.Dy()-down)/2))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(across, down))}
}
