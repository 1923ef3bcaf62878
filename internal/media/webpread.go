package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"iter"

	xvp8 "golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// webpChunk is a part of a WebP.
type webpChunk struct {
	name string
	body []byte
}

// webpChunks lists the chunks in a WebP's RIFF container: name, little-endian size, data, padded to
// an even number. It ends where a size is wrong.
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

// webpPicture finds the picture in a WebP: a frame of VP8, or of VP8L, which is lossless. It
// ignores what the container says about the picture, and its transparency. An animation is an
// error.
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

// frame reads the header of a VP8 picture, and returns the decoder that has read it.
func (c webpChunk) frame() (*xvp8.Decoder, xvp8.FrameHeader, error) {
	d := xvp8.NewDecoder()
	d.Init(bytes.NewReader(c.body), len(c.body))
	h, err := d.DecodeFrameHeader()
	return d, h, err
}

// webpConfig returns the size of a WebP, as the picture in it says.
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

// decodeWebP decodes a WebP, whose colours are those of television if it is lossy.
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
