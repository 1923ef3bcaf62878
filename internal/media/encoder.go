package media

import (
	"cmp"
	"errors"
	"fmt"
	"io"
)

// Frame is one picture: RGB[3·(y·W+x)+c], 8 bits a channel, in sRGB.
type Frame struct {
	W, H int
	RGB  []uint8
}

// Options describe a clip.
type Options struct {
	Width, Height int // pixels; up to 16383, the limit of VP8
	FPS, Per      int // FPS frames in Per seconds, such as 24000 in 1001; Per 0 is 1
	Frames        int // how many will come; 0: not known
	Quality       int // how much is kept of a frame, 1 to 100, except in PNG; 0: the format's own
}

// Encoder writes one clip. It is used by one goroutine.
type Encoder interface {
	// Add appends a frame of the clip's size. It keeps nothing of f, whose memory may be used
	// again.
	Add(f Frame) error
	// Close completes the file. It is an error if there are no frames, or not as many as Options
	// say. Only Abort may follow it or an error of Add.
	Close() error
	// Abort gives up and releases what the encoder holds, such as a process or a temporary file.
	// After Close it does nothing.
	Abort()
}

const (
	// Limits of a clip: of its width and height, which VP8 has 14 bits for, and of the numbers of
	// its rate, so that no product with a number of frames overflows.
	sizeLimit = 16383
	rateMax   = 1 << 20
)

// NewEncoder starts a clip that goes to w. If w is also an io.WriteSeeker, a WebM gets its index's
// place into its header, so that players can seek at once. Options out of bounds, or a format that
// cannot be written here, are errors; nothing is left to release then.
func NewEncoder(f Format, w io.Writer, o Options) (Encoder, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var (
		e   Encoder
		err error
	)

	// Each format checks what only it cannot write.
	switch f {
	case WebM:
		e, err = newWebM(w, o)
	case MP4:
		e, err = newMP4(w, o)
	case PNG:
		e = newPNG(w)
	default:
		err = fmt.Errorf("format %q; allowed: %v", f, Formats())
	}
	if err != nil {
		return nil, err
	}

	// Frames are checked once, for all formats.
	return &checked{Encoder: e, o: o}, nil
}

// check refuses options that no format can write.
func (o Options) check() error {
	if o.Width < 1 || o.Width > sizeLimit || o.Height < 1 || o.Height > sizeLimit {
		return fmt.Errorf("clip is %dx%d; allowed: 1x1 to %dx%[3]d", o.Width, o.Height, sizeLimit)
	}
	if o.FPS < o.per() || o.Per < 0 || o.FPS > rateMax || o.Per > rateMax || o.Frames < 0 {
		return fmt.Errorf("clip has %d frames at %d/%d fps; allowed: from 1 fps, in numbers up to %d",
			o.Frames, o.FPS, o.per(), rateMax)
	}
	if o.Quality < 0 || o.Quality > 100 {
		return fmt.Errorf("quality is %d; allowed: 1 to 100, or 0 for the format's own", o.Quality)
	}
	return nil
}

// per returns the seconds that FPS is counted in.
func (o Options) per() int { return cmp.Or(o.Per, 1) }

// second returns how many frames come nearest to a second.
func (o Options) second() int { return (2*o.FPS + o.per()) / (2 * o.per()) }

// checked refuses frames that do not fit the clip, for all formats.
type checked struct {
	Encoder
	o Options
	n int // frames so far
}

// Add implements Encoder.
func (c *checked) Add(f Frame) error {
	if f.W != c.o.Width || f.H != c.o.Height || len(f.RGB) != 3*f.W*f.H {
		return fmt.Errorf("frame %d is %dx%d with %d bytes, the clip is %dx%d", c.n, f.W, f.H,
			len(f.RGB), c.o.Width, c.o.Height)
	}

	// The header has announced a number of frames already.
	if c.o.Frames > 0 && c.n == c.o.Frames {
		return fmt.Errorf("more frames than the %d of the clip", c.n)
	}
	c.n++
	return c.Encoder.Add(f)
}

// Close implements Encoder.
func (c *checked) Close() error {
	if c.n == 0 {
		return errors.New("the clip has no frames")
	}
	if c.o.Frames > 0 && c.n != c.o.Frames {
		return fmt.Errorf("the clip has %d frames; %d were announced", c.n, c.o.Frames)
	}
	return c.Encoder.Close()
}
