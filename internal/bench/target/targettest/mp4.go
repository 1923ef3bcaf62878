package targettest

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// ticks is the timescale of MP4's: divisible by all usual rates.
const ticks = 48000

// box is one of ISO/IEC 14496-12.
func box(kind string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	out := binary.BigEndian.AppendUint32(nil, uint32(8+len(body))) //nolint:gosec // it is small
	return append(append(out, kind...), body...)
}

// words are 32-bit numbers.
func words(v ...int) []byte {
	var out []byte
	for _, n := range v {
		out = binary.BigEndian.AppendUint32(out, uint32(n)) //nolint:gosec // of a test
	}
	return out
}

// The track of sound comes first, and the index last, as in files of servers that do not move it to
// the front: a reader that takes the first track, or the first box, is wrong about them.

// MP4 is a file that has all that says what a clip is, and no picture in it. Each clip has bytes of
// its own, a few KB; equal clips have equal bytes.
func MP4(c Clip) []byte {
	entry := make([]byte, 78)
	binary.BigEndian.PutUint16(entry[24:], uint16(c.Width))  //nolint:gosec // of a test
	binary.BigEndian.PutUint16(entry[26:], uint16(c.Height)) //nolint:gosec // of a test
	table := box("stbl",
		box("stsd", words(0, 1), box("avc1", entry)),
		box("stts", words(0, 1, c.Frames, ticks/max(c.FPS, 1))),
		box("stsz", words(0, 100, c.Frames)))
	length := c.Frames * ticks / max(c.FPS, 1)
	media := box("mdia",
		box("mdhd", words(0, 0, 0, ticks, length, 0)),
		box("hdlr", words(0, 0), []byte("vide"), make([]byte, 13)),
		box("minf", table))
	sound := box("trak", box("mdia", box("hdlr", words(0, 0), []byte("soun"), make([]byte, 13))))

	out := slices.Concat(box("ftyp", []byte("isom"), words(512)),
		box("mdat", bytes.Repeat([]byte{byte(c.Frames)}, 100*max(c.Frames, 0))),
		box("moov", box("mvhd", make([]byte, 100)), sound, box("trak", media)))
	if c.Cut {
		return out[:len(out)/2]
	}
	return out
}
