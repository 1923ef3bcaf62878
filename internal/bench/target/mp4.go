package target

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// moovMax bounds the index of an MP4 file, in bytes: hours of video have less.
const moovMax = 16 << 20

// The index of an MP4 file says all that a clip is compared by: how large its pictures are, how
// many there are, and for how long each is shown. The pictures themselves are skipped. A file that
// a server streams in fragments has an empty index, and is compared by its size in pixels alone.

// box is one of ISO/IEC 14496-12, in memory.
type box struct {
	kind string
	body []byte
}

// readMP4 reads the boxes of a file up to its index, "moov", which may be at either end.
func (f *film) readMP4(in *bufio.Reader) error {
	for {
		kind, size, err := boxHead(in)
		if errors.Is(err, io.EOF) {
			return errors.New("it has no index (moov)")
		}
		if err != nil {
			return err
		}
		if kind != "moov" {
			if n, err := io.CopyN(io.Discard, in, size); n < size || err != nil {
				return cutOr(err)
			}
			continue
		}

		if size > moovMax {
			return nil // an index of hours is not read
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(in, b); err != nil {
			return cutOr(err)
		}
		f.readIndex(b)
		return f.restOfMP4(in)
	}
}

// restOfMP4 looks whether the boxes behind the index are whole: a cut file has the index, if that
// comes first.
func (f *film) restOfMP4(in *bufio.Reader) error {
	for {
		_, size, err := boxHead(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n, err := io.CopyN(io.Discard, in, size); n < size || err != nil {
			return cutOr(err)
		}
	}
}

// cutOr is err, if it is more than the end of the file.
func cutOr(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

// boxHead reads a box's kind and the size of its body. One that reaches to the end of the file has
// the size 0 there, and any size here. io.EOF is the end of the file.
func boxHead(in *bufio.Reader) (kind string, size int64, err error) {
	var b [8]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return "", 0, io.EOF
		}
		return "", 0, cutOr(err)
	}

	kind = string(b[4:])
	switch n := binary.BigEndian.Uint32(b[:4]); {
	case n == 0:
		n, err := io.Copy(io.Discard, in)
		if err == nil {
			err = io.EOF
		}
		return kind, n, err
	case n == 1:
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return "", 0, cutOr(err)
		}
		n := binary.BigEndian.Uint64(b[:])
		if n < 16 || n > math.MaxInt64 {
			return "", 0, errors.New("a box of an impossible size")
		}
		return kind, int64(n - 16), nil
	case n < 8:
		return "", 0, errors.New("a box of an impossible size")
	default:
		return kind, int64(n) - 8, nil
	}
}

// boxes returns those in a body, as far as they are whole.
func boxes(b []byte) (out []box) {
	for len(b) >= 8 {
		n := uint64(binary.BigEndian.Uint32(b))
		if n == 0 {
			n = uint64(len(b))
		}
		if n < 8 || n > uint64(len(b)) {
			return out
		}
		out = append(out, box{kind: string(b[4:8]), body: b[8:n]})
		b = b[n:]
	}
	return out
}

// find returns the body of the first box of a path, nil if there is none.
func find(b []byte, path ...string) []byte {
	for _, kind := range path {
		inner := boxes(b)
		b = nil
		for _, x := range inner {
			if x.kind == kind {
				b = x.body
				break
			}
		}
	}
	return b
}

// readIndex takes size, frames and rate from the first track that is a video.
func (f *film) readIndex(moov []byte) {
	// Sound has tracks of its own, which may come first.
	for _, track := range boxes(moov) {
		media := find(track.body, "mdia")
		if h := find(media, "hdlr"); track.kind != "trak" || len(h) < 12 || string(h[8:12]) != "vide" {
			continue
		}
		table := find(media, "minf", "stbl")
		// The first sample entry: its head, then 24 bytes, then the sizes as 16 bits.
		if entry := find(table, "stsd"); len(entry) >= 8 {
			if e := boxes(entry[8:]); len(e) > 0 && len(e[0].body) >= 28 {
				f.width = int(binary.BigEndian.Uint16(e[0].body[24:]))
				f.height = int(binary.BigEndian.Uint16(e[0].body[26:]))
			}
		}

		// The table of times has a row for each run of frames that are shown for as long.
		frames, ticks := times(find(table, "stts"))
		scale := timescale(find(media, "mdhd"))
		if frames > 0 && frames <= math.MaxInt32 {
			f.frames = int(frames)
		}
		if frames > 0 && ticks > 0 && scale > 0 {
			f.rate = float64(frames) * float64(scale) / float64(ticks)
		}
		return
	}
}

// times sums up the table of how long frames are shown.
func times(stts []byte) (frames, ticks uint64) {
	if len(stts) < 8 {
		return 0, 0
	}
	for b := stts[8:]; len(b) >= 8; b = b[8:] {
		n := uint64(binary.BigEndian.Uint32(b))
		frames += n
		ticks += n * uint64(binary.BigEndian.Uint32(b[4:]))
	}
	return frames, ticks
}

// timescale is ticks a second. Version 1 of the box has times of 64 bits before it.
func timescale(mdhd []byte) uint32 {
	at := 12
	if len(mdhd) > 0 && mdhd[0] == 1 {
		at = 20
	}
	if len(mdhd) < at+4 {
		return 0
	}
	return binary.BigEndian.Uint32(mdhd[at:])
}
