package target

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/bits"
)

// WebM is what our own clips are, and what some servers make. Frames are counted block by block, as
// no field says how many there are; their bytes are skipped. A second video track, which no server
// makes, is not looked at.

// IDs of Matroska elements that are read. The walk does not descend: the heads of elements that
// hold others are read over, and what is in them follows.
const (
	idSegment   = 0x18538067
	idInfo      = 0x1549a966
	idScale     = 0x2ad7b1 // nanoseconds of a tick
	idDuration  = 0x4489   // in ticks
	idTracks    = 0x1654ae6b
	idTrack     = 0xae
	idNumber    = 0xd7
	idType      = 0x83
	idPerFrame  = 0x23e383 // nanoseconds
	idVideo     = 0xe0
	idWidth     = 0xb0
	idHeight    = 0xba
	idCluster   = 0x1f43b675
	idGroup     = 0xa0
	idBlock     = 0xa1
	idSimple    = 0xa3
	unknownSize = math.MaxInt64
)

// matroska is what a walk over a file has found.
type matroska struct {
	number, kind  uint64 // of the track under way
	video         uint64 // number of the first video track
	width, height uint64
	perFrame      uint64
	scale         uint64
	duration      float64
	frames        int
}

// readWebM counts the frames of a WebM or Matroska file.
func (f *film) readWebM(in *bufio.Reader) error {
	m := matroska{scale: 1e6}
	for {
		id, size, err := elementHead(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = m.take(in, id, size)
		}
		if err != nil {
			return err
		}
	}

	// Files that shards and browsers write say how long a frame is shown; others how long all are.
	if m.video == 0 || m.width > math.MaxInt32 || m.height > math.MaxInt32 {
		return errors.New("it has no video")
	}

	f.width, f.height, f.frames = int(m.width), int(m.height), m.frames
	switch {
	case m.perFrame > 0:
		f.rate = 1e9 / float64(m.perFrame)
	case m.duration > 0 && m.scale > 0:
		f.rate = float64(m.frames) / (m.duration * float64(m.scale) / 1e9)
	}
	return nil
}

// take reads one element, or only its head if it holds others.
func (m *matroska) take(in *bufio.Reader, id uint64, size int64) error {
	switch id {
	case idSegment, idInfo, idTracks, idVideo, idCluster, idGroup:
		return nil
	case idTrack:
		m.number, m.kind = 0, 0
		if m.video == 0 {
			m.width, m.height, m.perFrame = 0, 0, 0 // were of another kind of track
		}
		return nil
	case idBlock, idSimple:
		return m.block(in, size)
	}

	to := map[uint64]*uint64{idScale: &m.scale, idNumber: &m.number, idType: &m.kind}[id]
	if m.video == 0 || m.number == m.video { // of other tracks nothing counts
		switch id {
		case idWidth:
			to = &m.width
		case idHeight:
			to = &m.height
		case idPerFrame:
			to = &m.perFrame
		}
	}

	if to == nil && id != idDuration || size > 8 {
		if n, err := io.CopyN(io.Discard, in, size); n < size || err != nil {
			return cutOr(err)
		}
		return nil
	}
	return m.value(in, id, size, to)
}

// value reads a number of up to 8 bytes.
func (m *matroska) value(in *bufio.Reader, id uint64, size int64, to *uint64) error {
	var b [8]byte
	if _, err := io.ReadFull(in, b[8-size:]); err != nil {
		return cutOr(err)
	}

	v := binary.BigEndian.Uint64(b[:])
	switch {
	case id == idDuration && size == 8:
		m.duration = math.Float64frombits(v)
	case id == idDuration:
		m.duration = float64(math.Float32frombits(uint32(v))) //nolint:gosec // of 4 bytes
	default:
		*to = v
	}

	// The number of a track may stand before its kind, or behind it.
	if m.kind == 1 && m.video == 0 {
		m.video = m.number
	}
	return nil
}

// block counts a frame, if it is of the video. Its body begins with its track.
func (m *matroska) block(in *bufio.Reader, size int64) error {
	track, n, err := vint(in, false)
	if err != nil {
		return cutOr(err)
	}
	if track == m.video {
		m.frames++
	}
	if _, err := io.CopyN(io.Discard, in, max(size-n, 0)); err != nil {
		return cutOr(err)
	}
	return nil
}

// elementHead reads an element's ID and the size of its body. io.EOF is the end of the file.
func elementHead(in *bufio.Reader) (id uint64, size int64, err error) {
	id, _, err = vint(in, true)
	if err != nil {
		return 0, 0, err
	}
	v, n, err := vint(in, false)
	if err != nil {
		return 0, 0, cutOr(err)
	}
	if v == 1<<(7*n)-1 {
		v = unknownSize
	}
	return id, int64(v), nil //nolint:gosec // of 56 bits
}

// vint reads a number whose first byte says by its highest bit how many there are, up to 8; an ID
// keeps that bit. io.EOF is the end of the file before it.
func vint(in *bufio.Reader, id bool) (v uint64, n int64, err error) {
	b, err := in.ReadByte()
	if err != nil {
		return 0, 0, err
	}

	if b == 0 {
		return 0, 0, errors.New("it is no WebM behind its first bytes")
	}

	n = int64(bits.LeadingZeros8(b)) + 1
	v = uint64(b)
	if !id {
		v &= 1<<(8-n) - 1
	}

	for range n - 1 {
		if b, err = in.ReadByte(); err != nil {
			return 0, 0, cutOr(err)
		}
		v = v<<8 | uint64(b)
	}
	return v, n, nil
}
