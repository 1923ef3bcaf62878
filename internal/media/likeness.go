package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"math"
	"os"
	"os/exec"
)

// ErrNoDecoder says that the pictures of a file cannot be looked at here.
var ErrNoDecoder = errors.New("ffmpeg is not on the PATH, and without it only WebM and zips of " +
	"PNG can be read, as longtake writes them")

// Likeness says how alike two clips are.
type Likeness struct {
	// PSNR is that of the frame that differs most, in dB of 8-bit RGB; +Inf where all pictures are
	// equal. It is no mean over frames: one frame out of many that is wrong makes a clip wrong, and
	// would vanish in a mean.
	PSNR float64
	// Other says why pictures have no counterparts: another size, or another number of frames. ""
	// where they have.
	Other string
}

// Same reports whether all pictures are equal.
func (l Likeness) Same() bool { return math.IsInf(l.PSNR, 1) && l.Other == "" }

// Lossy files of equal pictures differ where two encoders made them, and equal encoders make equal
// files. So a PSNR between files of two servers has the loss of both in it, and says how alike the
// files are that users get.

// Compare compares the pictures of two clips, frame by frame, at a frame rate that both have. A
// file that cannot be decoded is an error, ErrNoDecoder where only ffmpeg is missing.
func Compare(ctx context.Context, a, b *os.File, rate FrameRate) (Likeness, error) {
	// Neither clip is held in memory: both are decoded frame by frame, side by side.
	left, err := framesOfFile(ctx, a, rate)
	if err != nil {
		return Likeness{}, err
	}

	right, err := framesOfFile(ctx, b, rate)
	if err != nil {
		return Likeness{}, err
	}

	next, stop := iter.Pull2(right)
	defer stop()

	// The second clip's frames are taken as the first one's come.
	out, n := Likeness{PSNR: math.Inf(1)}, 0
	for img, err := range left {
		if err != nil {
			return Likeness{}, err
		}
		other, err, ok := next()
		if err != nil {
			return Likeness{}, err
		}

		// What has no counterpart has no PSNR either.
		if !ok {
			return Likeness{Other: fmt.Sprintf("%d frames, and the other has more", n)}, nil
		}
		if img.Rect.Size() != other.Rect.Size() {
			return Likeness{Other: fmt.Sprintf("frames of %v and %v pixels", img.Rect.Size(),
				other.Rect.Size())}, nil
		}

		out.PSNR, n = min(out.PSNR, psnrOf(img, other)), n+1
	}

	if _, err, ok := next(); ok || err != nil {
		return Likeness{Other: fmt.Sprintf("%d frames, and the other has more", n)}, err
	}

	if n == 0 {
		return Likeness{}, errors.New("there are no frames")
	}

	return out, nil
}

// The formula is the usual one: 10 log10(255^2 / mean square), the mean over pixels and the three
// channels. docs/models.md and the tests of the engine have theirs by the same formula.

// psnrOf is the peak signal-to-noise ratio of two opaque pictures of one size, in dB.
func psnrOf(a, b *image.RGBA) float64 {
	sum, size := 0, a.Rect.Size()
	for y := range size.Y {
		p, q := a.Pix[y*a.Stride:][:4*size.X], b.Pix[y*b.Stride:][:4*size.X]
		for i := range p {
			d := int(p[i]) - int(q[i])
			sum += d * d // alpha is equal
		}
	}
	return 10 * math.Log10(255*255*float64(3*size.X*size.Y)/float64(sum))
}

// Frames are handed over one by one, by whoever decodes them, so that two clips can be walked side
// by side: this package's decoders are asked for a frame, and ffmpeg writes one after the other
// and is stopped where nobody wants more.

// framesOfFile returns the frames of a clip, each good until the next one is asked for. What this
// package writes is decoded here, and all else by ffmpeg.
func framesOfFile(ctx context.Context, f *os.File, rate FrameRate) (iter.Seq2[*image.RGBA, error],
	error) {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("cannot read a clip: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}

	info, err := f.Stat()
	if err != nil {
		return nil, err
	}

	// A WebM of others has the same head and may have another codec, so its first frame is tried.
	format := WebM
	if bytes.HasPrefix(head, []byte("PK")) {
		format = PNG
	}

	if s, err := OpenStills(format, f, info.Size()); err == nil {
		if _, err := s.at(0); err == nil {
			return s.all(ctx), nil
		}
	}

	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return nil, ErrNoDecoder
	}

	return pushed(ctx, ffmpegVideo(f.Name(), rate)), nil
}

// all returns the frames one after the other, in the colours that they were made in.
func (s *Stills) all(ctx context.Context) iter.Seq2[*image.RGBA, error] {
	return func(yield func(*image.RGBA, error) bool) {
		for i := range s.n {
			img, err := s.at(i)
			if err = errors.Join(err, ctx.Err()); err != nil {
				yield(nil, fmt.Errorf("cannot read frame %d: %w", i, err))
				return
			}
			if !yield(opaque(img), nil) {
				return
			}
		}
	}
}

// pushed returns what a reader of frames hands over, one after the other.
func pushed(ctx context.Context, each func(context.Context, func(image.Image) error) error,
) iter.Seq2[*image.RGBA, error] {
	// A consumer that has seen enough ends the reader, and with it ffmpeg.
	return func(yield func(*image.RGBA, error) bool) {
		err := each(ctx, func(img image.Image) error {
			if !yield(opaque(img), nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// opaque is a picture as 8-bit RGB.
func opaque(img image.Image) *image.RGBA {
	if out, ok := img.(*image.RGBA); ok {
		return out
	}
	return upright(img, 1)
}
