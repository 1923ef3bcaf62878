package media

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// zippedVideo reads the pictures of a zip, in the order of their names. Folders, and files that
// systems add, whose names begin with a dot or __MACOSX, are skipped.
func zippedVideo(r io.ReaderAt, size int64) (func(context.Context, func(image.Image) error) error,
	error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("the zip cannot be read: %w", err)
	}
	files := slices.DeleteFunc(z.File, func(f *zip.File) bool {
		return strings.HasSuffix(f.Name, "/") || strings.HasPrefix(path.Base(f.Name), ".") ||
			strings.HasPrefix(f.Name, "__MACOSX/")
	})
	if len(files) == 0 || len(files) > VideoFrames {
		return nil, fmt.Errorf("the zip has %d pictures; allowed: 1 to %d", len(files), VideoFrames)
	}
	slices.SortFunc(files, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })

	return func(ctx context.Context, f func(image.Image) error) error {
		for _, file := range files {
			img, err := zippedFrame(ctx, file)
			if err != nil {
				return fmt.Errorf("%.100q in the zip: %w", file.Name, err)
			}
			if err := f(img); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// pictureVideo reads a picture, a video of one frame.
func pictureVideo(file io.ReadSeeker) func(context.Context, func(image.Image) error) error {
	return func(ctx context.Context, f func(image.Image) error) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		img, err := ReadPicture(ctx, file)
		if err != nil {
			return err
		}
		return f(img)
	}
}

// zippedFrame reads one picture of a zip.
func zippedFrame(ctx context.Context, f *zip.File) (image.Image, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return ReadPicture(ctx, in) // which reads no more than a picture may have
}

// animatedVideo reads an animated WebP of up to PictureBytes.
func animatedVideo(r io.ReaderAt, size int64, rate FrameRate) (
	func(context.Context, func(image.Image) error) error, error) {
	if size > PictureBytes {
		return nil, fmt.Errorf("the animation has more than %d bytes", PictureBytes)
	}
	data := make([]byte, size)
	if _, err := r.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return func(ctx context.Context, f func(image.Image) error) error {
		return webpAnimation(data).play(ctx, rate, f)
	}, nil
}

// webpAnimation has the bytes of an animated WebP.
type webpAnimation []byte

// play hands on the frames at a rate. Each is drawn on a canvas over the one before.
func (a webpAnimation) play(ctx context.Context, rate FrameRate, f func(image.Image) error) error {
	var canvas *image.RGBA
	var shown [2]*image.RGBA // the frame before, and the next one
	t, millis := timed{rate: rate, f: f}, 0

	for c := range webpChunks(a) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case c.name == "VP8X" && len(c.body) >= 10 && canvas == nil:
			w, h := 1+le24(c.body[4:]), 1+le24(c.body[7:])
			if w > PictureSideMax || h > PictureSideMax || w > PictureMax/h {
				return fmt.Errorf("it is %dx%d; allowed: 16 megapixels", w, h)
			}
			canvas = image.NewRGBA(image.Rect(0, 0, w, h))
			draw.Draw(canvas, canvas.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
		case c.name == "ANMF" && canvas != nil:
			next := shown[1]
			if shown[1] = shown[0]; next == nil {
				next = image.NewRGBA(canvas.Rect)
			}
			shown[0] = next
			copy(next.Pix, canvas.Pix)
			took, err := drawFrame(next, canvas, c.body)
			if err != nil {
				return err
			}
			if err := t.add(next, float64(millis)/1000); err != nil {
				return err
			}
			millis += took
		}
	}
	return t.add(nil, float64(millis)/1000)
}

// drawFrame draws an ANMF chunk on a canvas, and on `left` what the next frame begins with. It
// returns how long the frame is shown, in milliseconds, at least 1.
func drawFrame(canvas, left *image.RGBA, body []byte) (millis int, err error) {
	const head, dispose, opaque = 16, 1, 1 << 1
	if len(body) < head {
		return 0, errors.New("a frame is cut short")
	}
	x, y, w, h := 2*le24(body), 2*le24(body[3:]), 1+le24(body[6:]), 1+le24(body[9:])
	at := image.Rect(x, y, x+w, y+h)
	if !at.In(canvas.Rect) {
		return 0, fmt.Errorf("a frame of %v lies outside of %v", at, canvas.Rect)
	}

	// The frame's own chunks are a WebP once they have its header.
	file := riffOf(body[head:])
	if cw, ch, err := webpConfig(file); err != nil || cw != w || ch != h {
		return 0, badFrame(cw, ch, err)
	}
	img, err := decodeWebP(context.Background(), file)
	if err != nil {
		return 0, err
	}
	op := draw.Over
	if body[15]&opaque != 0 {
		op = draw.Src
	}
	if lossy, ok := img.(*videoYCbCr); ok {
		img, op = upright(lossy, 1), draw.Src
	}
	draw.Draw(canvas, at, img, img.Bounds().Min, op)

	copy(left.Pix, canvas.Pix)
	if body[15]&dispose != 0 {
		draw.Draw(left, at, image.NewUniform(color.Black), image.Point{}, draw.Src)
	}
	return max(1, le24(body[12:])), nil
}

// riffOf makes a WebP from chunks.
func riffOf(chunks []byte) []byte {
	return chunk(nil, "RIFF", append([]byte("WEBP"), chunks...))
}

// le24 reads a number of three bytes, the lowest first.
func le24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
