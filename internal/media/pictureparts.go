package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"iter"
	"slices"

	stills "golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// Limits of a JPEG's scans. A progressive one may have any number of them, each of which passes
// over all blocks for a few bytes of file. Encoders write about ten, which pass over 4 million
// blocks of 16 megapixels at full resolution of colour.
const (
	scansMax  = 100
	visitsMax = 6 << 20 // blocks of all scans together
)

// segment is a part of a JPEG: its marker and what follows it, up to the next one's marker.
type segment struct {
	marker byte
	body   []byte // without its length
}

// jpegSegments lists the segments of a JPEG as image/jpeg finds them: entropy-coded data and
// padding are passed over.
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
			for at += mark; at < len(data) && data[at] == 0xff; {
				at++
			}
			if at >= len(data) {
				return
			}
			marker := data[at]
			at++
			if marker == 0 || marker >= rst0 && marker <= soi {
				continue // they stand alone
			}
			if marker == eoi || len(data)-at < 2 {
				return
			}
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

// decodeJPEG also decodes CMYK without Adobe's segment, as Pillow does: as if it were there.
func decodeJPEG(ctx context.Context, data []byte) (image.Image, error) {
	decode := watchedBy(jpeg.Decode)
	if !plainInk(data) {
		return decode(ctx, data)
	}
	return decode(ctx, slices.Insert(slices.Clone(data), len("\xff\xd8"), []byte(adobeMark)...))
}

// plainInk reports whether a JPEG has four colours, and no segment of Adobe.
func plainInk(data []byte) bool {
	const sof0, sof2, sos, app14, count = 0xc0, 0xc2, 0xda, 0xee, 5
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

// component is a colour of a JPEG.
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
		if scans > scansMax || visits > visitsMax {
			return w, h, fmt.Errorf("its scans take too much work; allowed: %d, over %d blocks in all",
				scansMax, visitsMax)
		}
	}
	return w, h, nil
}

// components reads a frame header (ITU T.81, B.2.2): 1 byte precision, 2 height, 2 width, 1 count,
// then 3 for each: id, sampling, table.
func components(header []byte, w, h int) []component {
	const head, each = 6, 3
	if len(header) < head {
		return nil
	}
	list := header[head:]
	across, down := 1, 1
	for i := 0; i+each <= len(list); i += each {
		across, down = max(across, int(list[i+1]>>4)), max(down, int(list[i+1]&15))
	}
	units := ((w + 8*across - 1) / (8 * across)) * ((h + 8*down - 1) / (8 * down))

	var out []component
	for i := 0; i+each <= len(list); i += each {
		s := int(list[i+1])
		out = append(out, component{list[i], units * (s >> 4) * (s & 15)})
	}
	return out
}

// blocksOf counts the blocks that a scan passes over; its header begins with the count of
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

// webpChunk is a part of a WebP.
type webpChunk struct {
	name string
	body []byte
}

// webpChunks lists the chunks of a WebP's RIFF container.
func webpChunks(data []byte) iter.Seq[webpChunk] {
	const top, head = 12, 8
	return func(yield func(webpChunk) bool) {
		for at := top; at+head <= len(data); {
			n := int64(binary.LittleEndian.Uint32(data[at+4:]))
			if n > int64(len(data)-at-head) {
				return
			}
			end := at + head + int(n)
			if !yield(webpChunk{string(data[at : at+4]), data[at+head : end]}) {
				return
			}
			at = end + int(n%2)
		}
	}
}

// webpPicture finds the picture in a WebP: a frame of VP8, or VP8L, which is lossless. What the
// container says of it, and its transparency, are not looked at.
func webpPicture(data []byte) (webpChunk, error) {
	for c := range webpChunks(data) {
		switch c.name {
		case "ANIM", "ANMF":
			return c, errors.New("it is an animation")
		case "VP8 ", "VP8L":
			return c, nil
		}
	}
	return webpChunk{}, errors.New("it has no picture, or is cut short")
}

// frame reads the header of a picture of VP8.
func (c webpChunk) frame() (*stills.Decoder, stills.FrameHeader, error) {
	d := stills.NewDecoder()
	d.Init(bytes.NewReader(c.body), len(c.body))
	h, err := d.DecodeFrameHeader()
	return d, h, err
}

func webpConfig(data []byte) (w, h int, err error) {
	c, err := webpPicture(data)
	if err != nil {
		return 0, 0, err
	}
	if c.name == "VP8L" {
		config, err := vp8l.DecodeConfig(bytes.NewReader(c.body))
		return config.Width, config.Height, err
	}
	_, head, err := c.frame()
	return head.Width, head.Height, err
}

func decodeWebP(_ context.Context, data []byte) (image.Image, error) {
	c, err := webpPicture(data)
	if err != nil {
		return nil, err
	}
	if c.name == "VP8L" {
		return vp8l.Decode(bytes.NewReader(c.body))
	}
	d, _, err := c.frame()
	if err != nil {
		return nil, err
	}
	img, err := d.DecodeFrame()
	if err != nil {
		return nil, err
	}
	return &videoYCbCr{*img}, nil
}
