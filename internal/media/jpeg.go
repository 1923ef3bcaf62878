package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"iter"
	"slices"
)

// Limits of a JPEG's scans. A progressive one may have any number of them, each of which passes
// over all blocks for a few bytes of file. Encoders write about ten, which pass over 4 million
// blocks of 16 megapixels with colour at full resolution.
const (
	scansMax  = 100
	visitsMax = 6 << 20 // blocks of all scans together
)

// segment is a part of a JPEG: its marker, and what follows up to the next one's marker.
type segment struct {
	marker byte
	body   []byte // without its length
}

// jpegSegments lists the segments of a JPEG as image/jpeg finds them: entropy-coded data and
// padding are passed over. It ends at the end of the picture, or where a length is wrong.
func jpegSegments(data []byte) iter.Seq[segment] {
	const (
		rst0, soi, eoi = 0xd0, 0xd8, 0xd9
	)
	return func(yield func(segment) bool) {
		for at := 0; ; {
			mark := bytes.IndexByte(data[at:], 0xff)
			if mark < 0 {
				return
			}

			// Any number of ff bytes may precede a marker.
			for at += mark; at < len(data) && data[at] == 0xff; {
				at++
			}
			if at >= len(data) {
				return
			}

			marker := data[at]
			at++
			if marker == 0 || marker >= rst0 && marker <= soi {
				continue // these have no length
			}

			if marker == eoi || len(data)-at < 2 {
				return
			}

			// The length counts itself.
			n := int(binary.BigEndian.Uint16(data[at:]))
			if n < 2 || n > len(data)-at || !yield(segment{marker, data[at+2 : at+n]}) {
				return
			}
			at += n
		}
	}
}

// adobeMark is the segment by which image/jpeg knows the colours of a CMYK picture: APP14 of Adobe.
const adobeMark = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"

// decodeJPEG decodes a JPEG. As Pillow does, it also decodes CMYK without Adobe's segment, as if
// that were there.
func decodeJPEG(ctx context.Context, data []byte) (image.Image, error) {
	decode := untilDone(jpeg.Decode)
	if !isPlainCMYK(data) {
		return decode(ctx, data)
	}
	return decode(ctx, slices.Insert(slices.Clone(data), len("\xff\xd8"), []byte(adobeMark)...))
}

// isPlainCMYK reports whether a JPEG has four colours and no segment of Adobe.
func isPlainCMYK(data []byte) bool {
	const sof0, sof2, sos, app14, count = 0xc0, 0xc2, 0xda, 0xee, 5

	// The number of colours is in the frame header, which precedes the first scan, as Adobe's
	// segment does.
	four := false

	for s := range jpegSegments(data) {
		switch {
		case s.marker == app14 && bytes.HasPrefix(s.body, []byte("Adobe")):
			return false
		case s.marker >= sof0 && s.marker <= sof2 && len(s.body) > count:
			four = s.body[count] == 4
		case s.marker == sos:
			return four
		}
	}
	return false
}

// component is a colour of a JPEG, with the number of its blocks at its own resolution.
type component struct {
	id     byte
	blocks int // of 8x8 values
}

// jpegConfig returns the size of a JPEG whose scans are within the limits.
func jpegConfig(data []byte) (w, h int, err error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 0, 0, err
	}

	w, h = c.Width, c.Height

	// Counting scans of a picture of absurd size has no point.
	if w > PictureSideMax || h > PictureSideMax {
		return w, h, nil // which is refused
	}

	const sof0, sof2, sos = 0xc0, 0xc2, 0xda
	var parts []component
	scans, visits := 0, 0
	for s := range jpegSegments(data) {
		switch {
		case s.marker >= sof0 && s.marker <= sof2 && parts == nil:
			parts = components(s.body, w, h)
		case s.marker == sos:
			scans++
			visits += blocksOf(s.body, parts)
		}

		// Checked with each scan, so that a file of millions of them ends early.
		if scans > scansMax || visits > visitsMax {
			return w, h, fmt.Errorf("its scans take too much work; allowed: %d, over %d blocks in all",
				scansMax, visitsMax)
		}
	}
	return w, h, nil
}

// components reads a frame header (ITU T.81, B.2.2): 1 byte precision, 2 height, 2 width, 1 count,
// then 3 for each: id, sampling factors, table.
func components(header []byte, w, h int) []component {
	const head, each = 6, 3
	if len(header) < head {
		return nil
	}
	list := header[head:]

	// Units of 8 x 8 blocks cover the picture at the largest sampling factors.
	across, down := 1, 1
	for i := 0; i+each <= len(list); i += each {
		across, down = max(across, int(list[i+1]>>4)), max(down, int(list[i+1]&15))
	}

	// Every colour has whole units, padded at the right and the bottom.
	units := ((w + 8*across - 1) / (8 * across)) * ((h + 8*down - 1) / (8 * down))

	var out []component
	for i := 0; i+each <= len(list); i += each {
		s := int(list[i+1])
		out = append(out, component{list[i], units * (s >> 4) * (s & 15)})
	}
	return out
}

// blocksOf counts the blocks that a scan passes over. Its header begins with the count of
// components, and has two bytes for each.
func blocksOf(header []byte, parts []component) (n int) {
	if len(header) == 0 {
		return 0
	}
	for i := 1; i+1 < len(header) && i < 1+2*int(header[0]); i += 2 {
		for _, p := range parts {
			if p.id == header[i] {
				n += p.blocks
			}
		}
	}
	return n
}
