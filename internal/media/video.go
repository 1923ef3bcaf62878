package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"time"
)

// Limits of a video that is read: bytes of its file, frames, and how long reading it may take.
const (
	VideoBytes  = 1 << 30
	VideoFrames = 1 << 16
	VideoTime   = 5 * time.Minute
)

// VideoAllowed says what OpenVideo reads, for errors and help texts.
const VideoAllowed = "a video that ffmpeg reads (MP4, MOV, WebM, MKV, AVI, GIF and others), an " +
	"animated WebP, or a zip of PNG, JPEG or WebP pictures, of up to 1 GiB"

// ErrVideo says that bytes are not a video that can be read. It wraps what is wrong.
var ErrVideo = errors.New("not a video that can be read")

// watching is held while a video is read: a process reads one video at a time.
var watching = make(chan struct{}, 1)

// FrameRate is a number of frames in a number of seconds, such as 24000 in 1001.
type FrameRate struct{ Frames, Seconds int }

// Video is a video that can be read frame by frame, at the rate that it was opened with.
type Video struct {
	W, H   int // of the first frame, in pixels, upright
	Frames int // how many there are at that rate, as far as they were counted

	each func(context.Context, func(image.Image) error) error // from the first frame on
}

// StillsVideo returns a clip that this package wrote as a video. The clip has the rate from; it is
// read at the rate to, up to most frames.
func StillsVideo(s *Stills, from, to FrameRate, most int) (*Video, error) {
	first, err := s.at(0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVideo, err)
	}

	v := &Video{W: first.Bounds().Dx(), H: first.Bounds().Dy()}
	v.each = func(_ context.Context, f func(image.Image) error) error {
		t := timed{rate: to, f: f}
		at := func(i int) float64 { return float64(i*from.Seconds) / float64(from.Frames) }
		for i := range s.n {
			img, err := s.at(i)
			if err != nil {
				return err
			}
			if err := t.add(img, at(i)); err != nil {
				return err
			}
		}
		return t.add(nil, at(s.n))
	}

	t := timed{rate: to}
	v.Frames = max(1, min(most, t.slot(float64(s.n*from.Seconds)/float64(from.Frames))))
	return v, nil
}

// errEnough ends the reading of frames before the last one.
var errEnough = errors.New("enough frames")

// OpenVideo looks at all frames of a video, up to `most` of them, and returns what Read reads. A
// video with times is taken at the rate r: at each time, the latest of its frames. Pictures in a
// zip have no times and are taken one by one, in the order of their names; a picture is one frame.
// The file stays the caller's, and has to stay as it is while the Video is read.
//
// Whatever is wrong with the bytes is an ErrVideo, and so is a video for which ffmpeg is missing.
func OpenVideo(ctx context.Context, f *os.File, r FrameRate, most int) (*Video, error) {
	if r.Frames < 1 || r.Seconds < 1 {
		return nil, fmt.Errorf("cannot take a video at %d frames in %d s", r.Frames, r.Seconds)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > VideoBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrVideo, VideoBytes)
	}

	head := make([]byte, 32)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}

	v, err := &Video{}, error(nil)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		v.each, err = zippedVideo(f, info.Size())
	case isAnimated(head):
		v.each, err = animatedVideo(f, info.Size(), r)
	case !IsVideo(head):
		v.each = pictureVideo(f)
	default:
		v.each = ffmpegVideo(f.Name(), r)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVideo, err)
	}

	err = v.Read(ctx, min(most, VideoFrames), func(i int, img image.Image) error {
		if v.Frames = i + 1; i == 0 {
			v.W, v.H = img.Bounds().Dx(), img.Bounds().Dy()
		}
		return nil
	})
	if err == nil && v.Frames == 0 {
		err = fmt.Errorf("%w: it has no frames", ErrVideo)
	}
	return v, err
}

// Read calls f with the first n frames, or with all if there are fewer; an image is good until f
// returns. It waits until no other video is read. An error of f ends it.
func (v *Video) Read(ctx context.Context, n int, f func(i int, img image.Image) error) error {
	if n < 1 {
		return nil
	}
	select {
	case watching <- struct{}{}:
		defer func() { <-watching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	short, cancel := context.WithTimeoutCause(ctx, VideoTime,
		fmt.Errorf("%w: reading it takes more than %v", ErrVideo, VideoTime))
	defer cancel()

	// An error of f is returned as it is; all others are errors of the video.
	var own error
	i := 0
	err := v.each(short, func(img image.Image) error {
		if short.Err() != nil {
			return context.Cause(short)
		}
		if own = f(i, img); own != nil {
			return own
		}
		if i++; i == n {
			return errEnough
		}
		return nil
	})

	switch {
	case own != nil:
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil || errors.Is(err, errEnough):
		return nil
	case errors.Is(err, ErrVideo):
		return err
	}
	return fmt.Errorf("%w: %w", ErrVideo, err)
}

// timed turns frames that have times into frames at a rate: frame i is the latest one that begins
// at i or before, to the nearest frame. ffmpeg's fps filter does the same.
type timed struct {
	rate FrameRate
	f    func(image.Image) error
	last image.Image // that begins last, so far; nil at first
	sent int         // frames handed on
}

// slot returns the number of the frame that is nearest to a time in seconds. Times are bounded, so
// that no file makes endless frames.
func (t *timed) slot(seconds float64) int {
	n := math.Round(seconds * float64(t.rate.Frames) / float64(t.rate.Seconds))
	return int(min(n, VideoFrames))
}

// add takes the next frame, which begins at a time; nil ends the last one.
func (t *timed) add(img image.Image, begins float64) error {
	for ; t.last != nil && t.sent < t.slot(begins); t.sent++ {
		if err := t.f(t.last); err != nil {
			return err
		}
	}
	t.last = img
	return nil
}

// IsVideo reports whether a file with these first 32 bytes is to be read as a video and not as a
// picture. OpenVideo may still refuse it.
func IsVideo(head []byte) bool {
	switch PictureKind(head) {
	case "png", "jpeg", "bmp", "tiff", "heic", "avif", "jxl", "svg", "pdf":
		return false
	case "webp":
		return isAnimated(head)
	}
	return true
}

// isAnimated reports whether a file begins like an animated WebP: with a header that says so.
func isAnimated(head []byte) bool {
	const kind, flags, animated = 12, 20, 1 << 1
	return IsAnimation(head) && len(head) > flags && string(head[kind:kind+4]) == "VP8X" &&
		head[flags]&animated != 0
}
