package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// AnimationType is the MIME type of what Animate returns.
const AnimationType = "image/webp"

// frameMillisMax is the longest duration of a frame, which has 24 bits.
const frameMillisMax = 1<<24 - 1 // what a frame's duration has bits for

// Animate returns an animated WebP that repeats for ever: each frame lossy, shown for some
// milliseconds, in the container's extended layout (RIFF with VP8X, ANIM, and an ANMF per frame).
// All frames have the size of the first; anything else is an error.
func Animate(frames []Frame, frameMillis int) ([]byte, error) {
	if len(frames) == 0 {
		return nil, errors.New("an animation without frames")
	}

	w, h := frames[0].W, frames[0].H
	if !fits(w, h) || frameMillis < 1 || frameMillis > frameMillisMax {
		return nil, fmt.Errorf("an animation of %dx%d, %d ms a frame; allowed: up to %dx%[4]d, %d ms",
			w, h, frameMillis, sizeLimit, frameMillisMax)
	}

	enc := vp8{quality: previewQuality}
	var keys [][]byte
	for i, f := range frames {
		// The container has one canvas for all.
		if f.W != w || f.H != h || len(f.RGB) != 3*w*h {
			return nil, fmt.Errorf("frame %d is %dx%d with %d bytes, the animation is %dx%d", i, f.W, f.H,
				len(f.RGB), w, h)
		}

		key, err := enc.encode(f)
		if err != nil {
			return nil, err
		}
		keys = append(keys, bytes.Clone(key))
	}
	return animate(keys, w, h, frameMillis)
}

// animate is Animate for frames that are encoded already.
func animate(keys [][]byte, w, h, frameMillis int) ([]byte, error) {
	const animated = 1 << 1

	// Sizes are stored minus one: 24 bits hold up to 2^24.
	canvas := append(u24(nil, w-1), u24(nil, h-1)...)
	body := chunk([]byte("WEBP"), "VP8X", append([]byte{animated, 0, 0, 0}, canvas...))
	body = chunk(body, "ANIM", make([]byte, 4+2)) // no background, no end

	for _, key := range keys {
		// A frame's head: position 0, size, duration, and how it is drawn.
		const opaque = 1 << 1 // it replaces the one before
		head := append(append(make([]byte, 6), canvas...), u24(nil, frameMillis)...)
		body = chunk(body, "ANMF", chunk(append(head, opaque), "VP8 ", key))
	}

	// A RIFF size has 32 bits, and some readers take it as signed.
	if len(body) > math.MaxInt32 {
		return nil, fmt.Errorf("an animation of %d bytes; allowed: up to %d", len(body), math.MaxInt32)
	}
	return chunk(nil, "RIFF", body), nil
}

// IsAnimation reports whether b begins as a WebP does, animated or not.
func IsAnimation(b []byte) bool {
	return len(b) > 12 && bytes.HasPrefix(b, []byte("RIFF")) && string(b[8:12]) == "WEBP"
}

// chunk appends a RIFF chunk: name, little-endian size, data, padded to an even number.
func chunk(b []byte, name string, body []byte) []byte {
	b = append(b, name...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body))) //nolint:gosec // below 2^31
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// u24 appends a number of three bytes, the lowest first.
func u24(b []byte, v int) []byte { return append(b, byte(v), byte(v>>8), byte(v>>16)) }
