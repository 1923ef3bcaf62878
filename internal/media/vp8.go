package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"github.com/deepteams/webp"
)

// Qualities of libwebp's scale, 1 to 100. Clips come back within 2 of 255 on average, of which
// three quarters are the halved resolution of chroma and the rounding of players.
const (
	clipQuality    = 99
	previewQuality = 92
)

// vp8 encodes frames as VP8 keyframes, which is what a lossy WebP picture holds. Its memory is
// reused from frame to frame.
type vp8 struct {
	quality float32
	img     image.NRGBA
	buf     bytes.Buffer
}

// encode returns the keyframe of f, which is valid until the next call.
func (v *vp8) encode(f Frame) ([]byte, error) {
	v.img = image.NRGBA{Pix: v.img.Pix, Stride: 4 * f.W, Rect: image.Rect(0, 0, f.W, f.H)}
	if len(v.img.Pix) != 4*f.W*f.H {
		v.img.Pix = make([]uint8, 4*f.W*f.H)
	}
	setRGBA(v.img.Pix, f.RGB)

	// The library writes a whole WebP file, of which only the keyframe is kept.
	o := webp.DefaultOptions()
	o.Quality = v.quality
	o.Method = 4 // the only method of this library whose frames every decoder accepts

	v.buf.Reset()
	if err := webp.Encode(&v.buf, &v.img, o); err != nil {
		return nil, fmt.Errorf("cannot encode VP8: %w", err)
	}
	return keyframe(v.buf.Bytes())
}

// setRGBA spreads RGB triples to opaque RGBA.
func setRGBA(dst, rgb []uint8) {
	for i := range len(rgb) / 3 {
		dst[4*i], dst[4*i+1], dst[4*i+2], dst[4*i+3] = rgb[3*i], rgb[3*i+1], rgb[3*i+2], 255
	}
}

// keyframe finds the "VP8 " chunk of a WebP file (RIFF: tag, little-endian size, bytes, padding).
func keyframe(riff []byte) ([]byte, error) {
	const head, chunk = 12, 8

	// Chunks are padded to an even size.
	for at := head; at+chunk <= len(riff); {
		n := int(binary.LittleEndian.Uint32(riff[at+4:]))
		if n > len(riff)-at-chunk {
			break
		}
		if string(riff[at:at+4]) == "VP8 " {
			return riff[at+chunk : at+chunk+n], nil
		}
		at += chunk + n + n%2
	}
	return nil, errors.New("the VP8 encoder returned no VP8 frame")
}
