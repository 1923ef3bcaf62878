package target

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
)

// A server that is fast because it makes less is found out here: the file says how many frames it
// has, of which size, and how long each is shown. Whether the pictures are good is for eyes and for
// metrics of quality; that they are there at all is for this.

// film is what a video's file says of itself.
type film struct {
	sha256 string
	bytes  int64
	kind   string // mp4, webm, "": another one, of which only sum and size are known

	width, height, frames int     // 0: the file does not say, or is read no further
	rate                  float64 // frames per second
	damage                string  // why the file cannot be played; "": nothing speaks against it
}

// errCut is damage: of a file, or of a box in it.
var errCut = errors.New("it ends in the middle")

// examine reads a file to its end, of up to most bytes, of which it keeps almost none; into gets
// all of it, unless it is nil. Damage of the file is no error.
func examine(r io.Reader, most int64, into io.Writer) (film, error) {
	sum, n := sha256.New(), new(counter)
	if into == nil {
		into = io.Discard
	}
	in := bufio.NewReaderSize(io.TeeReader(io.LimitReader(r, most+1),
		io.MultiWriter(sum, n, into)), 64<<10)
	head, err := in.Peek(12)
	var f film
	var broken error

	// A reader of a container stops where it knows enough, or where nothing makes sense any more; the
	// sum is of the whole file in any case.
	switch {
	case len(head) >= 8 && string(head[4:8]) == "ftyp":
		f.kind, broken = "mp4", f.readMP4(in)
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")):
		f.kind, broken = "webm", f.readWebM(in)
	case len(head) == 0 && errors.Is(err, io.EOF):
		broken = errors.New("it is empty")
	}

	if _, err := io.Copy(io.Discard, in); err != nil {
		return f, fail(Malformed, "cannot read the video: %w", err)
	}

	if int64(*n) > most {
		return f, fail(Malformed, "a video of more than %d bytes", most)
	}

	f.bytes, f.sha256 = int64(*n), hex.EncodeToString(sum.Sum(nil))
	if broken != nil {
		f.damage = broken.Error()
	}
	return f, nil
}

// counter counts what is written to it.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// fill notes what is known of a file.
func (f film) fill(o *Outcome) {
	if f.bytes > 0 {
		o.ContentSHA256, o.ContentBytes = f.sha256, f.bytes
	}
	for _, p := range []struct {
		to   *int
		from int
	}{{&o.Width, f.width}, {&o.Height, f.height}, {&o.Frames, f.frames},
		{&o.FPS, int(math.Round(f.rate))}} {
		if p.from > 0 {
			*p.to = p.from
		}
	}
}

// compare returns a *Failure if a clip is not what was asked for: a server that makes fewer frames
// is faster, and no better. What either side leaves open is not compared. Models make 4n+1 frames,
// so of another number the nearest of those are right, too.
func (f film) compare(r Request) error {
	wrong := ""
	switch off := f.frames - r.Frames; {
	case f.damage != "":
		wrong = "the file cannot be played: " + f.damage
	case f.width != 0 && r.Width != 0 && (f.width != r.Width || f.height != r.Height):
		wrong = fmt.Sprintf("it has %dx%d pixels; asked for: %dx%d", f.width, f.height, r.Width, r.Height)
	case f.frames != 0 && r.Frames != 0 && off != 0 && (r.Frames%4 == 1 || off < -3 || off > 3):
		wrong = fmt.Sprintf("it has %d frames; asked for: %d", f.frames, r.Frames)
	case f.rate != 0 && r.FPS != 0 && math.Abs(f.rate/float64(r.FPS)-1) > 0.02:
		wrong = fmt.Sprintf("it has %.4g frames a second; asked for: %d", f.rate, r.FPS)
	}

	if wrong == "" {
		return nil
	}
	return fail(Wrong, "the clip is not what was asked for: %s", wrong)
}
