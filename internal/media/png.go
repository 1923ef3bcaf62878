package media

import (
	"archive/zip"
	"fmt"
	"image"
	"image/png"
	"io"
)

// frameName is the name of picture n of a clip.
func frameName(n int) string { return fmt.Sprintf("%05d.png", n) }

// pngs writes a zip of pictures. They are stored, since PNG is compressed already.
type pngs struct {
	zip *zip.Writer
	img image.NRGBA
	n   int
}

// newPNG starts a zip of pictures on w.
func newPNG(w io.Writer) *pngs { return &pngs{zip: zip.NewWriter(w)} }

// Add implements Encoder.
func (p *pngs) Add(f Frame) error {
	// Its memory is reused from frame to frame.
	p.img = image.NRGBA{Pix: p.img.Pix, Stride: 4 * f.W, Rect: image.Rect(0, 0, f.W, f.H)}
	if len(p.img.Pix) != 4*f.W*f.H {
		p.img.Pix = make([]uint8, 4*f.W*f.H)
	}
	setRGBA(p.img.Pix, f.RGB)

	// Deflate cannot shrink a PNG any further, so that storing it is as small and faster.
	w, err := p.zip.CreateHeader(&zip.FileHeader{Name: frameName(p.n), Method: zip.Store})
	if err == nil {
		err = png.Encode(w, &p.img)
	}

	if err != nil {
		return fmt.Errorf("cannot write %s: %w", frameName(p.n), err)
	}
	p.n++
	return nil
}

// Close implements Encoder: it writes the zip's table.
func (p *pngs) Close() error { return p.zip.Close() }

// Abort implements Encoder; there is nothing to release.
func (p *pngs) Abort() {}
