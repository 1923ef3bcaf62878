package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
)

// Limits of a picture that is read: pixels in all, pixels of its width or height, bytes of its
// file.
const (
	PictureMax     = 1 << 24
	PictureSideMax = 1 << 14
	PictureBytes   = 64 << 20
)

// PictureAllowed says what ReadPicture reads, for errors and help texts.
const PictureAllowed = "a PNG, JPEG or WebP picture of up to 16 megapixels, 16384 pixels a side " +
	"and 64 MiB"

// ErrPicture says that bytes are not a picture that can be read. It wraps what is wrong.
var ErrPicture = errors.New("not a picture that can be read")

// decoding is held by the one picture that this process decodes at a time. It bounds what one
// picture takes in memory and time, and so what many requests take together.
var decoding = make(chan struct{}, 1)

// ReadPicture reads a PNG, JPEG or WebP picture as Pillow does with exif_transpose and
// convert("RGB"): upright, its colours as they are stored, whatever the transparency. The result is
// opaque.
//
// It waits until no other picture is decoded, and gives up with ctx's error when ctx ends. A
// picture that is too large, or takes too much work, is refused before anything is decoded.
// Whatever is wrong with the bytes is an ErrPicture; other errors are those of r.
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

// pictureFormat is how pictures of one kind are read.
type pictureFormat struct {
	name        string
	config      func([]byte) (w, h int, err error) // the size; fails if decoding takes too much work
	decode      func(context.Context, []byte) (image.Image, error)
	orientation func([]byte) int // 1 to 8, as in EXIF
}

// pictureFormats are the kinds that can be read, by the names that PictureKind gives.
var pictureFormats = []pictureFormat{
	{"png", pngConfig, untilDone(png.Decode), pngOrientation},
	{"jpeg", jpegConfig, decodeJPEG, jpegOrientation},
	{"webp", webpConfig, decodeWebP, webpOrientation},
}

// identify finds the format of a picture that is worth decoding, by its first bytes; a name or a
// declared type counts for nothing.
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
	// What can be read.
	{"png", "\x89PNG\r\n\x1a\n"}, {"jpeg", "\xff\xd8\xff"}, {"webp", "RIFF....WEBP"},
	// What people upload instead.
	{"gif", "GIF8"}, {"bmp", "BM....\x00\x00\x00\x00"}, {"tiff", "II*\x00"}, {"tiff", "MM\x00*"},
	{"heic", "....ftyphei"}, {"heic", "....ftypmif1"}, {"avif", "....ftypavi"},
	{"jxl", "....JXL "}, {"mp4 video", "....ftyp"},
	{"webm video", "\x1aE\xdf\xa3"},
	{"svg", "<svg"}, {"pdf", "%PDF"},
}

// PictureKind names what data begins like: "png", "jpeg" or "webp", which can be read, or another
// kind of picture or video; "" if it is none that is known.
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

// untilDone makes a decoder give up when a context ends, by the reader that it reads from.
func untilDone(decode func(io.Reader) (image.Image, error)) func(context.Context, []byte) (
	image.Image, error) {
	return func(ctx context.Context, data []byte) (image.Image, error) {
		return decode(&ctxReader{ctx, bytes.NewReader(data)})
	}
}

// ctxReader is a reader that fails when a context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (w *ctxReader) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}

// pngConfig returns the size of a PNG. Its data may be compressed very well, but its size bounds
// the work.
func pngConfig(data []byte) (w, h int, err error) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	return c.Width, c.Height, err
}

// Fit makes a frame of w x h pixels of a picture: its largest part, in the middle, that has those
// proportions, scaled as diffusers' VideoProcessor scales. A picture of w x h stays as it is.
func Fit(img image.Image, w, h int) Frame {
	b := cover(img.Bounds(), w, h)
	return FrameOf(img).Cut(b.Min.X-img.Bounds().Min.X, b.Min.Y-img.Bounds().Min.Y, b.Dx(),
		b.Dy()).Resize(w, h, Lanczos)
}

// FrameOf returns the pixels of a picture, without regard to transparency.
func FrameOf(img image.Image) Frame {
	m, ok := img.(*image.RGBA)
	if !ok {
		m = upright(img, 1)
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for i := range w * h {
		at := i/w*m.Stride + i%w*4
		copy(f.RGB[3*i:3*i+3], m.Pix[at:at+3])
	}
	return f
}

// cover returns the largest part of b, in its middle, that has the proportions of w x h.
func cover(b image.Rectangle, w, h int) image.Rectangle {
	// Whichever side is too long for the proportions is shortened, rounded to the nearest pixel.
	across, down := b.Dx(), b.Dy()
	if across*h > down*w {
		across = max(1, (down*w+h/2)/h)
	} else {
		down = max(1, (across*h+w/2)/w)
	}
	at := b.Min.Add(image.Pt((b.Dx()-across)/2, (b.Dy()-down)/2))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(across, down))}
}
