package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"

	"golang.org/x/image/draw"
)

// Limits of a picture that is read.
const (
	PictureMax     = 1 << 24 // pixels
	PictureSideMax = 1 << 14 // pixels of its width or height
	PictureBytes   = 64 << 20
)

// PictureAllowed says what ReadPicture reads.
const PictureAllowed = "a PNG, JPEG or WebP picture of up to 16 megapixels, 16384 pixels a side " +
	"and 64 MiB"

// ErrPicture says that bytes are no picture that can be read.
var ErrPicture = errors.New("no picture that can be read")

// decoding is held by the only picture of this process that is decoded at a time: what one takes in
// memory and time is bounded, and so is what many take together.
var decoding = make(chan struct{}, 1)

// ReadPicture reads a PNG, JPEG or WebP picture as Pillow does with exif_transpose and
// convert("RGB"): upright, its colours as they are stored, whatever the transparency. The result
// is opaque.
//
// It waits until no other picture is decoded, and gives up when ctx ends. What is too large or
// takes too much work is found out before anything is decoded; what is wrong with the bytes is an
// ErrPicture.
func ReadPicture(ctx context.Context, r io.Reader) (*image.RGBA, error) {
	select {
	case decoding <- struct{}{}:
		defer func() { <-decoding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	data, err := io.ReadAll(io.LimitReader(r, PictureBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > PictureBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrPicture, PictureBytes)
	}
	f, err := identify(data)
	if err != nil {
		return nil, err
	}

	img, err := f.decode(ctx, data)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	return upright(img, f.orientation(data)), nil
}

// pictureFormat is how pictures of a kind are read.
type pictureFormat struct {
	name        string
	config      func([]byte) (w, h int, err error) // fails if decoding takes too much work
	decode      func(context.Context, []byte) (image.Image, error)
	orientation func([]byte) int // 1 to 8, as in EXIF
}

var pictureFormats = []pictureFormat{
	{"png", pngConfig, watchedBy(png.Decode), pngOrientation},
	{"jpeg", jpegConfig, decodeJPEG, jpegOrientation},
	{"webp", webpConfig, decodeWebP, webpOrientation},
}

// identify finds the format of a picture that is worth decoding.
func identify(data []byte) (pictureFormat, error) {
	kind := PictureKind(data)
	for _, f := range pictureFormats {
		if f.name != kind {
			continue
		}
		w, h, err := f.config(data)
		if err != nil {
			return f, fmt.Errorf("%w: %w", ErrPicture, err)
		}
		if w < 1 || h < 1 || w > PictureSideMax || h > PictureSideMax || w > PictureMax/h {
			return f, fmt.Errorf("%w: it is %dx%d", ErrPicture, w, h)
		}
		return f, nil
	}
	if kind == "" {
		return pictureFormat{}, fmt.Errorf("%w: it is of another kind", ErrPicture)
	}
	return pictureFormat{}, fmt.Errorf("%w: it is of kind %s", ErrPicture, kind)
}

// pictureMarks are how files begin that people take for pictures; a dot is any byte.
var pictureMarks = []struct{ kind, mark string }{
	{"png", "\x89PNG\r\n\x1a\n"}, {"jpeg", "\xff\xd8\xff"}, {"webp", "RIFF....WEBP"},
	{"gif", "GIF8"}, {"bmp", "BM....\x00\x00\x00\x00"}, {"tiff", "II*\x00"}, {"tiff", "MM\x00*"},
	{"heic", "....ftyphei"}, {"heic", "....ftypmif1"}, {"avif", "....ftypavi"},
	{"jxl", "....JXL "}, {"mp4 video", "....ftyp"},
	{"webm video", "\x1aE\xdf\xa3"},
	{"svg", "<svg"}, {"pdf", "%PDF"},
}

// PictureKind names what data begins like: "png", "jpeg" or "webp", which can be read, or another
// kind of picture or video; "" if it is none.
func PictureKind(data []byte) string {
	for _, m := range pictureMarks {
		same := len(data) >= len(m.mark)
		for i := 0; same && i < len(m.mark); i++ {
			same = m.mark[i] == '.' || m.mark[i] == data[i]
		}
		if same {
			return m.kind
		}
	}
	return ""
}

// watchedBy makes a decoder give up when a context ends.
func watchedBy(decode func(io.Reader) (image.Image, error)) func(context.Context, []byte) (
	image.Image, error) {
	return func(ctx context.Context, data []byte) (image.Image, error) {
		return decode(&watched{ctx, bytes.NewReader(data)})
	}
}

// watched is a reader that fails when a context ends.
type watched struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}

func pngConfig(data []byte) (w, h int, err error) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	return c.Width, c.Height, err
}

// Fit makes a frame of a picture: scaled so that it covers w x h pixels, its edges cut.
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
