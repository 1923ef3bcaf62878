package media

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/draw"
)

// Bounds of what is made of a clip's frames.
const (
	sheetCells     = 25       // frames of a sheet: 5 rows of 5
	sheetSide      = 256      // pixels of a cell's longer side, at most
	sheetQuality   = 85       // of JPEG
	stillsFrames   = 64       // of an animation
	stillsBytes    = 32 << 20 // of an animation's frames
	stillFrameMax  = 64 << 20 // bytes of one frame in the clip's file
	stillsFrameMax = 1 << 20  // frames of a clip
)

// ErrNoStills says that frames of a format cannot be read: those of an MP4 would need a decoder of
// H.264.
var ErrNoStills = errors.New("frames can be read from webm and png only")

// Stills are the frames of a finished clip, to be read one at a time, for pictures of the clip.
type Stills struct {
	n       int                              // the number of frames
	key     func(i int) ([]byte, error)      // frame i as a VP8 keyframe; nil: the clip has none
	picture func(i int) (image.Image, error) // frame i, decoded; nil: it is decoded from key
}

// OpenStills finds the frames of a clip of size bytes, in WebM or PNG as this package writes it. r
// is read while the Stills are used. Another format is ErrNoStills.
func OpenStills(f Format, r io.ReaderAt, size int64) (*Stills, error) {
	switch f {
	case WebM:
		spans, err := webmFrames(r, size)
		if err != nil {
			return nil, fmt.Errorf("cannot read the frames of a WebM: %w", err)
		}
		return &Stills{n: len(spans), key: func(i int) ([]byte, error) {
			b := make([]byte, spans[i].end-spans[i].body)

			// ReadAt may report the end of the file with the last bytes.
			n, err := r.ReadAt(b, spans[i].body)
			if n == len(b) {
				err = nil
			}
			return b, err
		}}, nil
	case PNG:
		z, err := zip.NewReader(r, size)
		if err == nil && len(z.File) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the zip of frames: %w", err)
		}
		return &Stills{n: len(z.File), picture: func(i int) (image.Image, error) {
			return zippedPicture(z.File[i])
		}}, nil
	}
	return nil, fmt.Errorf("%s: %w", f, ErrNoStills)
}

// OpenAnimation finds the frames of an animation that Animate has returned.
func OpenAnimation(data []byte) (*Stills, error) {
	// Other chunks, such as the animation's header, are passed over.
	var keys [][]byte
	for c := range webpChunks(data) {
		const head = 16 // of ANMF
		if c.name != "ANMF" || len(c.body) < head {
			continue
		}

		// Within an ANMF chunk, a frame is a chunk as in a file, without the container's 12 bytes.
		key, err := keyframe(append(make([]byte, 12), c.body[head:]...))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}

	if len(keys) == 0 {
		return nil, errors.New("the animation has no frames")
	}
	return &Stills{n: len(keys), key: func(i int) ([]byte, error) { return keys[i], nil }}, nil
}

// webmFrames lists where the frames of a WebM are, as this package writes it: clusters in one
// segment.
func webmFrames(r io.ReaderAt, size int64) (out []place, err error) {
	head, err := expect(r, idEBML, 0, size)
	if err != nil {
		return nil, err
	}
	segment, err := expect(r, idSegment, head.end, size)
	if err != nil {
		return nil, err
	}

	for at := segment.body; at < segment.end; {
		part, err := locate(r, at, segment.end)
		if err != nil {
			return nil, err
		}
		if part.name == idCluster {
			if out, err = clusterFrames(r, part, out); err != nil {
				return nil, err
			}
		}
		at = part.end
	}

	if len(out) == 0 {
		return nil, errors.New("it has no frames")
	}
	return out, nil
}

// clusterFrames appends where the frames of a cluster are.
func clusterFrames(r io.ReaderAt, cluster place, out []place) ([]place, error) {
	for at := cluster.body; at < cluster.end; {
		block, err := locate(r, at, cluster.end)
		if err != nil {
			return nil, err
		}
		at = block.end

		if block.name != idSimpleBlock {
			continue
		}

		const head = 4 // track, time, flags
		block.body += head
		if n := block.end - block.body; n < 1 || n > stillFrameMax || len(out) == stillsFrameMax {
			return nil, fmt.Errorf("frame %d has %d bytes", len(out), n)
		}
		out = append(out, block)
	}
	return out, nil
}

// zippedPicture decodes a PNG in a zip, after a look at its size.
func zippedPicture(f *zip.File) (image.Image, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, stillFrameMax))
	if err != nil {
		return nil, err
	}
	if c, err := png.DecodeConfig(bytes.NewReader(data)); err != nil || !fits(c.Width, c.Height) {
		return nil, badFrame(c.Width, c.Height, err)
	}
	return png.Decode(bytes.NewReader(data))
}

// fits reports whether a frame of a clip can have this size.
func fits(w, h int) bool { return w > 0 && h > 0 && w <= sizeLimit && h <= sizeLimit }

// badFrame returns the error for a frame whose header cannot be read, or that no clip can have.
func badFrame(w, h int, err error) error {
	if err != nil {
		return fmt.Errorf("cannot read a frame: %w", err)
	}
	return fmt.Errorf("a frame is %dx%d; allowed: 1x1 to %dx%[3]d", w, h, sizeLimit)
}

// riff makes a WebP of a keyframe.
func riff(key []byte) []byte {
	return chunk(nil, "RIFF", chunk([]byte("WEBP"), "VP8 ", key))
}

// at decodes frame i, in the colours that it was made in.
func (s *Stills) at(i int) (image.Image, error) {
	if s.picture != nil {
		return s.picture(i)
	}

	key, err := s.key(i)
	if err != nil {
		return nil, err
	}

	file := riff(key)
	if w, h, err := webpConfig(file); err != nil || !fits(w, h) {
		return nil, badFrame(w, h, err)
	}

	img, err := decodeWebP(context.Background(), file)
	if err != nil {
		return nil, err
	}
	return upright(img, 1), nil
}

// Len returns the number of frames.
func (s *Stills) Len() int { return s.n }

// Frame decodes frame i, from 0, in a size: see Fit.
func (s *Stills) Frame(i, w, h int) (Frame, error) {
	if i < 0 || i >= s.n {
		return Frame{}, fmt.Errorf("cannot read frame %d of %d", i, s.n)
	}
	img, err := s.at(i)
	if err != nil {
		return Frame{}, fmt.Errorf("cannot read frame %d: %w", i, err)
	}
	return Fit(img, w, h), nil
}

// scaled returns frame i, scaled down so that its longer side has at most `side` pixels.
func (s *Stills) scaled(i, side int) (*image.RGBA, error) {
	img, err := s.at(i)
	if err != nil {
		return nil, err
	}
	b := img.Bounds()

	// Small frames keep their size.
	scale := min(1, float64(side)/float64(max(b.Dx(), b.Dy())))
	size := func(n int) int { return max(1, int(math.Round(float64(n)*scale))) }
	out := image.NewRGBA(image.Rect(0, 0, size(b.Dx()), size(b.Dy())))
	draw.BiLinear.Scale(out, out.Bounds(), img, b, draw.Src, nil)
	return out, nil
}

// Thumbnail returns the first frame as WebP. The frame of a WebM is one already, and is not encoded
// again.
func (s *Stills) Thumbnail() ([]byte, error) {
	if s.key != nil {
		key, err := s.key(0)
		return riff(key), err
	}
	img, err := s.scaled(0, sizeLimit)
	if err != nil {
		return nil, err
	}
	enc := vp8{quality: previewQuality}
	key, err := enc.encode(FrameOf(img))
	return riff(key), err
}

// Sheet returns up to 25 frames, spread evenly over the clip, in rows from left to right, as JPEG.
func (s *Stills) Sheet(ctx context.Context) ([]byte, error) {
	n := min(s.n, sheetCells)

	// As many columns as rows, or one more.
	across := int(math.Ceil(math.Sqrt(float64(n))))
	var sheet *image.RGBA

	// The first and the last frame, and others evenly between them.
	for k := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}

		cell, err := s.scaled(k*(s.n-1)/max(n-1, 1), sheetSide)
		if err != nil {
			return nil, err
		}
		w, h := cell.Rect.Dx(), cell.Rect.Dy()

		// All frames of a clip have the same size, so that the first decides.
		if sheet == nil {
			sheet = image.NewRGBA(image.Rect(0, 0, across*w, (n+across-1)/across*h))
			draw.Draw(sheet, sheet.Rect, image.Black, image.Point{}, draw.Src)
		}

		place := image.Rect(0, 0, w, h).Add(image.Pt(k%across*w, k/across*h))
		draw.Draw(sheet, place, cell, image.Point{}, draw.Src)
	}

	var b bytes.Buffer
	err := jpeg.Encode(&b, sheet, &jpeg.Options{Quality: sheetQuality})
	return b.Bytes(), err
}

// Animation returns up to 64 frames, spread evenly over a clip of so many seconds, as an animated
// WebP that takes as long. Large frames are halved in number until they fit stillsBytes.
func (s *Stills) Animation(ctx context.Context, seconds float64) ([]byte, error) {
	for n := min(s.n, stillsFrames); n > 0; n /= 2 {
		keys, w, h, err := s.keys(ctx, n)
		if err != nil {
			return nil, err
		}
		if keys != nil {
			millis := math.Round(1000 * seconds / float64(n))
			return animate(keys, w, h, int(min(max(millis, 1), frameMillisMax)))
		}
	}
	return nil, errors.New("one frame has more bytes than an animation may have")
}

// keys returns n frames as VP8 keyframes, and their size in pixels; nil if together they have more
// than stillsBytes.
func (s *Stills) keys(ctx context.Context, n int) (out [][]byte, w, h int, err error) {
	enc, left := vp8{quality: previewQuality}, stillsBytes
	for k := range n {
		var key []byte
		i := k * s.n / n

		// A WebM's frames are keyframes already.
		if s.key != nil {
			key, err = s.key(i)
		} else {
			var img *image.RGBA
			if img, err = s.scaled(i, sheetSide); err == nil {
				key, err = enc.encode(FrameOf(img))
				key = bytes.Clone(key)
			}
		}

		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, 0, 0, err
		}

		if left -= len(key); left < 0 {
			return nil, 0, 0, nil
		}
		out = append(out, key)
	}
	w, h, err = webpConfig(riff(out[0]))
	return out, w, h, err
}
