package media

import (
	"cmp"
	"errors"
	"fmt"
	"io"
)

// Frame is one picture: RGB[3·(y·W+x)+c], 8 bits a channel.
type Frame struct {
	W, H int
	RGB  []uint8
}

// Options describe a clip.
type Options struct {
	Width, Height int // pixels; up to 16383, the limit of VP8
	FPS, Per      int // frames in seconds, such as 24000 in 1001; Per 0 is 1
	Frames        int // how many will come; 0: not known
	Quality       int // how much is kept of a frame, 1 to 100, but in PNG; 0: the format's own
}

// Encoder writes one clip. It is used by one goroutine.
type Encoder interface {
	// Add appends a frame of the clip's size; it keeps nothing of f.
	Add(f Frame) error
	// Close completes the file. Nothing but Abort may follow it or an error of Add.
	Close() error
	// Abort gives up and releases what the encoder holds; after Close it does nothing.
	Abort()
}

const (
	sizeLimit = 16383
	rateMax   = 1 << 20 // of the numbers of a rate, so that no product with a count overflows
)

// NewEncoder starts a clip that goes to w. When w is also an io.WriteSeeker, a WebM gets an index
// that players find at once.
func NewEncoder(f Format, w io.Writer, o Options) (Encoder, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var (
		e   Encoder
		err error
	)
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
	return &checked{Encoder: e, o: o}, nil
}

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

func (o Options) per() int { return cmp.Or(o.Per, 1) }

// second returns how many frames come nearest to a second.
func (o Options) second() int { return (2*o.FPS + o.per()) / (2 * o.per()) }

// checked refuses frames that do not fit the clip.
type checked struct {
	Encoder
	o Options
	n int
}

func (c *checked) Add(f Frame) error {
	if f.W != c.o.Width || f.H != c.o.Height || len(f.RGB) != 3*f.W*f.H {
		return fmt.Errorf("frame %d is %dx%d with %d bytes, the clip is %dx%d", c.n, f.W, f.H,
			len(f.RGB), c.o.Width, c.o.Height)
	}
	if c.o.Frames > 0 && c.n == c.o.Frames {
		return fmt.Errorf("more frames than the %d of the clip", c.n)
	}
	c.n++
	return c.Encoder.Add(f)
}

func (c *checked) Close() error {
	if c.n == 0 {
		return errors.New("the clip has no frames")
	}
	if c.o.Frames > 0 && c.n != c.o.Frames {
		return fmt.Errorf("the clip has %d frames; %d were announced", c.n, c.o.Frames)
	}
	return c.Encoder.Close()
}
