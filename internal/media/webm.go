package media

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Element IDs of Matroska (RFC 9559) and EBML (RFC 8794), as far as a silent VP8 clip needs them.
const (
	// The head of any EBML file (RFC 8794): what kind of document follows.
	idEBML        = 0x1A45DFA3
	idVersion     = 0x4286
	idReadVersion = 0x42F7
	idMaxIDLen    = 0x42F2
	idMaxSizeLen  = 0x42F3
	idDocType     = 0x4282
	idDocVersion  = 0x4287
	idDocRead     = 0x4285
	// The segment holds everything else, a seek head first, which says where the index is. Void
	// keeps its place until it is known.
	idSegment      = 0x18538067
	idSeekHead     = 0x114D9B74
	idSeek         = 0x4DBB
	idSeekID       = 0x53AB
	idSeekPosition = 0x53AC
	idVoid         = 0xEC
	// Information about the segment: units of time, duration, programs.
	idInfo     = 0x1549A966
	idScale    = 0x2AD7B1
	idDuration = 0x4489
	idMuxer    = 0x4D80
	idWriter   = 0x5741
	// The only track, of video.
	idTracks      = 0x1654AE6B
	idTrack       = 0xAE
	idTrackNumber = 0xD7
	idTrackUID    = 0x73C5
	idTrackType   = 0x83
	idLacing      = 0x9C
	idCodec       = 0x86
	idFrameNanos  = 0x23E383
	idVideo       = 0xE0
	idWidth       = 0xB0
	idHeight      = 0xBA
	// Its colours, by ITU-T H.273.
	idColour       = 0x55B0
	idMatrix       = 0x55B1
	idBits         = 0x55B2
	idSitingAcross = 0x55B7
	idSitingDown   = 0x55B8
	idRange        = 0x55B9
	idTransfer     = 0x55BA
	idPrimaries    = 0x55BB
	// Clusters of frames, each with a time that its blocks count from.
	idCluster     = 0x1F43B675
	idTimestamp   = 0xE7
	idSimpleBlock = 0xA3
	// The index: which cluster has which time.
	idCues         = 0x1C53BB6B
	idCuePoint     = 0xBB
	idCueTime      = 0xB3
	idCuePositions = 0xB7
	idCueTrack     = 0xF7
	idCueCluster   = 0xF1
)

const (
	// unknownSize stands for the size of an element whose end is not known yet: that of the file.
	// seekHeadBytes is the size of a seek head with one entry, for which the header leaves room.
	unknownSize   = 1<<56 - 1
	seekHeadBytes = 26
)

// webm writes a clip as it comes: header, one cluster for each second, index. Its bytes depend on
// the frames alone as long as runtime.GOMAXPROCS is at least 2; with 1 the VP8 encoder makes other
// decisions. That setting is the program's.
type webm struct {
	w       io.Writer
	o       Options
	frames  vp8    // encodes them
	n       int    // frames so far
	cluster []byte // blocks of the open cluster
	start   int    // milliseconds at which the open cluster begins
	segment int64  // offset of the segment's first byte
	at      int64  // bytes written
	cues    []byte // the index so far
}

// newWebM starts a clip, and writes its header.
func newWebM(w io.Writer, o Options) (*webm, error) {
	m := openWebM(w, o)
	return m, m.write(m.header())
}

// openWebM prepares a clip of which nothing is written.
func openWebM(w io.Writer, o Options) *webm {
	return &webm{w: w, o: o, frames: vp8{quality: float32(cmp.Or(o.Quality, clipQuality))}}
}

// header returns what comes before the clusters, and records where the segment begins.
func (m *webm) header() []byte {
	// The EBML head says that a WebM follows, with elements of version 4 for its colours.
	head := element(idEBML, concat(number(idVersion, 1), number(idReadVersion, 1),
		number(idMaxIDLen, 4), number(idMaxSizeLen, 8), element(idDocType, []byte("webm")),
		number(idDocVersion, 4), number(idDocRead, 2)))
	head = sized(append(head, id(idSegment)...), unknownSize)
	m.segment = int64(len(head))
	// Room for the seek head, which Close writes if it can.
	head = append(head, element(idVoid, make([]byte, seekHeadBytes-2))...)
	head = append(head, m.info()...)
	return append(head, m.tracks()...)
}

// info returns the element with the clip's duration, where it is known, and its program.
func (m *webm) info() []byte {
	body := concat(number(idScale, 1e6), element(idMuxer, []byte("longtake")),
		element(idWriter, []byte("longtake")))
	if m.o.Frames > 0 {
		ms := float64(m.o.Frames) * 1000 * float64(m.o.per()) / float64(m.o.FPS)
		body = append(body, element(idDuration, binary.BigEndian.AppendUint64(nil,
			math.Float64bits(ms)))...)
	}
	return element(idInfo, body)
}

// tracks returns the element that describes the only track.
func (m *webm) tracks() []byte {
	video := concat(number(idWidth, uint64(m.o.Width)), number(idHeight, uint64(m.o.Height)), colour())
	return element(idTracks, element(idTrack, concat(number(idTrackNumber, 1),
		number(idTrackUID, 1), number(idTrackType, 1), number(idLacing, 0),
		element(idCodec, []byte("V_VP8")), number(idFrameNanos, uint64(1e9*m.o.per()/m.o.FPS)),
		element(idVideo, video))))
}

// colour says how a player gets RGB back, in the numbers of ITU-T H.273. VP8 has the matrix of
// BT.601 and a range of 16 to 235 whatever the size, which players would otherwise guess from the
// size; the frames are sRGB. A chroma sample stands for the middle of four pixels.
func colour() []byte {
	const bt601, limited, sRGB, bt709, middle = 6, 1, 13, 1, 2
	return element(idColour, concat(number(idMatrix, bt601), number(idBits, 8),
		number(idSitingAcross, middle), number(idSitingDown, middle), number(idRange, limited),
		number(idTransfer, sRGB), number(idPrimaries, bt709)))
}

// Add implements Encoder. Frames stay in memory until their second is complete.
func (m *webm) Add(f Frame) error {
	frame, err := m.frames.encode(f)
	if err != nil {
		return err
	}

	// Times are rounded down to milliseconds, each from the frame's number, so errors do not add
	// up.
	ms := m.millis(m.n)

	// A second is complete: players can seek to the cluster that begins now.
	if m.n%m.o.second() == 0 {
		if err := m.flush(); err != nil {
			return err
		}
		m.start = ms
	}

	m.n++
	m.cluster = append(m.cluster, element(idSimpleBlock, append(m.blockHead(ms), frame...))...)
	return nil
}

// blockHead returns the beginning of a frame's block: track 1, time within the cluster in 16 bits,
// and the flag of a keyframe.
func (m *webm) blockHead(ms int) []byte {
	return []byte{0x81, byte((ms - m.start) >> 8), byte(ms - m.start), 0x80}
}

// millis returns when frame n is shown, in milliseconds.
func (m *webm) millis(n int) int { return int(int64(n) * 1000 * int64(m.o.per()) / int64(m.o.FPS)) }

// flush writes the open cluster, in one Write, and adds it to the index.
func (m *webm) flush() error {
	if len(m.cluster) == 0 {
		return nil
	}
	m.cue()
	err := m.write(element(idCluster, concat(number(idTimestamp, uint64(m.start)), m.cluster)))
	m.cluster = m.cluster[:0]
	return err
}

// cue adds the cluster that is written next to the index.
func (m *webm) cue() {
	place := concat(number(idCueTrack, 1), number(idCueCluster, uint64(m.at-m.segment)))
	m.cues = append(m.cues, element(idCuePoint, concat(number(idCueTime, uint64(m.start)),
		element(idCuePositions, place)))...)
}

// Close implements Encoder.
func (m *webm) Close() error {
	if err := m.flush(); err != nil {
		return err
	}

	// The index is the last element, and the only one that seeking needs.
	cues := uint64(m.at - m.segment)
	if err := m.write(element(idCues, m.cues)); err != nil {
		return err
	}
	if s, ok := m.w.(io.WriteSeeker); ok {
		return m.complete(s, cues)
	}
	return nil
}

// complete overwrites what was not known when the header was written: the size of the segment, and
// where its index is. Then it returns to the end.
func (m *webm) complete(s io.WriteSeeker, cues uint64) error {
	// The file may not begin at the writer's start, so places are counted back from here.
	end, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("cannot complete the WebM: %w", err)
	}

	// Both sizes have 8 bytes, the old and the new one.
	body := sized(nil, unknownSize)
	binary.BigEndian.PutUint64(body, 1<<56|uint64(m.at-m.segment))
	seek := concat(element(idSeekID, id(idCues)), fixed(idSeekPosition, cues))
	head := element(idSeekHead, element(idSeek, seek))

	if _, err = s.Seek(end-m.at+m.segment-8, io.SeekStart); err == nil {
		_, err = s.Write(append(body, head...))
	}
	if err == nil {
		_, err = s.Seek(end, io.SeekStart)
	}

	if err != nil {
		return fmt.Errorf("cannot complete the WebM: %w", err)
	}
	return nil
}

// Abort implements Encoder; there is nothing to release.
func (m *webm) Abort() {}

// write appends to the file, and counts its bytes.
func (m *webm) write(b []byte) error {
	n, err := m.w.Write(b)
	m.at += int64(n)
	if err != nil {
		return fmt.Errorf("cannot write the WebM: %w", err)
	}
	return nil
}

// Tap returns a writer that passes on to w what a WebM encoder writes, and calls f first with the
// header, then with each cluster, a second of the clip: put together they can be played. f runs on
// the encoder's goroutine and must not keep b.
func Tap(w io.WriteSeeker, f func(b []byte, cluster bool)) io.WriteSeeker { return &tap{w, f} }

// tap relies on the encoder to write its header, and each cluster, in one Write.
type tap struct {
	io.WriteSeeker
	f func(b []byte, cluster bool)
}

// Write implements io.Writer.
func (t *tap) Write(b []byte) (int, error) {
	// Only what has been written is passed on.
	n, err := t.WriteSeeker.Write(b)
	cluster := bytes.HasPrefix(b, id(idCluster))
	if err == nil && (cluster || bytes.HasPrefix(b, id(idEBML))) {
		t.f(b, cluster)
	}
	return n, err
}
