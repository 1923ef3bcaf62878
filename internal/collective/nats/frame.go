package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/longtake/longtake/internal/collective"
)

// A frame is one NATS message: a header of 88 bytes, little endian, and the payload.
//
//	 0 magic u32      4 version u8   5 kind u8     6 zero u16
//	 8 job u64       16 attempt u32 20 src u32    24 dst u32    28 step u32   32 op u32
//	36 index u32     40 session u64 48 peer session u64         56 message u64
//	64 total u64     72 offset u64  80 payload length u32       84 CRC32C u32
//
// The checksum covers the whole frame with its own field as zero. A frame of a sealed attempt has
// another version, its number (u64) in place of the last two fields, and the tag of AES-256-GCM
// after the payload, which is encrypted.
const (
	// "LTAK" in little endian order; tells a frame from a stray message.
	frameMagic = 0x4b41544c
	// Version of the layout; nodes of different versions count each other's frames as corrupt.
	frameVersion  = 1
	sealedVersion = 2 // of sealed frames
	headerBytes   = 88
	// Offset of the number of a sealed frame.
	counterAt = 80
	// Offset of the checksum, the last field of the header.
	crcAt = 84
	// Chunks of a message, which bounds the bitmap that a forged header can ask for.
	chunksMax = 1 << 20
)

// kind is what a frame says. Its numbers are part of the protocol.
type kind uint8

const (
	kindData  kind = iota + 1 // payload: chunk index of message, at offset of total bytes
	kindAck                   // index leading chunks are here, payload: bitmap from there on
	kindLater                 // the receiver has no room for the message now
	kindPing                  // the sender is alive
	kindBye                   // the sender has left, payload: see bye
)

// header is a frame without its payload.
type header struct {
	kind        kind
	job         uint64 // of the job's name, see jobHash
	attempt     uint32
	src, dst    uint32 // ranks
	tag         collective.Tag
	index       uint32 // data: of the chunk; ack: leading chunks that have arrived
	session     uint64 // the sender's
	peerSession uint64 // the receiver's, 0 while the sender does not know it
	message     uint64 // number within the pair, from 1
	total       uint64 // bytes of the message
	offset      uint64 // data: of the chunk; ack: all messages below are complete
	counter     uint64 // of a sealed frame, its number among those to the peer; 0: not sealed
}

// castagnoli is the polynomial of CRC32C, for which CPUs have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends the frame to dst, with its checksum.
func appendFrame(dst []byte, h header, payload []byte) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, h, len(payload)), payload...)
	frame := dst[start:]
	binary.LittleEndian.PutUint32(frame[crcAt:], crc32.Checksum(frame, castagnoli))
	return dst
}

// appendHeader appends the header of a frame with a payload of n bytes. Its checksum is zero, and
// stays so on direct connections, which have their own. A sealed one says no size.
func appendHeader(dst []byte, h header, n int) []byte {
	le, version := binary.LittleEndian, byte(frameVersion)
	if h.counter != 0 {
		version = sealedVersion
	}
	dst = le.AppendUint32(dst, frameMagic)
	dst = append(dst, version, byte(h.kind), 0, 0)

	dst = le.AppendUint64(dst, h.job)
	for _, v := range [...]uint32{h.attempt, h.src, h.dst, h.tag.Step, h.tag.Op, h.index} {
		dst = le.AppendUint32(dst, v)
	}
	for _, v := range [...]uint64{h.session, h.peerSession, h.message, h.total, h.offset} {
		dst = le.AppendUint64(dst, v)
	}
	if h.counter != 0 {
		return le.AppendUint64(dst, h.counter)
	}
	dst = le.AppendUint32(dst, uint32(n))
	return le.AppendUint32(dst, 0)
}

// parseFrame checks all of a frame that can be checked without its transport, and returns its
// parts. The payload is a part of b. That of a sealed frame is not open yet, and nothing that its
// header says is known to be true.
func parseFrame(b []byte) (header, []byte, error) {
	if len(b) < headerBytes {
		return header{}, nil, fmt.Errorf("a frame of %d bytes has no header", len(b))
	}

	h, err := readHeader(b[:headerBytes])
	le := binary.LittleEndian
	switch {
	case err != nil:
		return header{}, nil, err
	case h.counter != 0:
		return h, b[headerBytes:], nil
	case uint64(le.Uint32(b[80:])) != uint64(len(b)-headerBytes):
		return header{}, nil, errors.New("frame of a wrong length")
	case le.Uint32(b[crcAt:]) != checksum(b):
		return header{}, nil, errors.New("frame with a wrong checksum")
	}
	return h, b[headerBytes:], nil
}

// readHeader reads a header, which b is no more than. It leaves the payload's length and the
// checksum alone.
func readHeader(b []byte) (header, error) {
	le, counter := binary.LittleEndian, uint64(0)
	if len(b) != headerBytes || le.Uint32(b) != frameMagic {
		return header{}, errors.New("not a frame")
	}
	if b[4] == sealedVersion {
		counter = le.Uint64(b[counterAt:])
	}

	switch {
	case b[4] != frameVersion && counter == 0:
		return header{}, fmt.Errorf("frame version %d, %d expected", b[4], frameVersion)
	case kind(b[5]) < kindData || kind(b[5]) > kindBye || b[6] != 0 || b[7] != 0:
		return header{}, fmt.Errorf("frame of unknown kind %d", b[5])
	}

	return header{
		kind: kind(b[5]), job: le.Uint64(b[8:]), attempt: le.Uint32(b[16:]),
		src: le.Uint32(b[20:]), dst: le.Uint32(b[24:]),
		tag:   collective.Tag{Step: le.Uint32(b[28:]), Op: le.Uint32(b[32:])},
		index: le.Uint32(b[36:]), session: le.Uint64(b[40:]), peerSession: le.Uint64(b[48:]),
		message: le.Uint64(b[56:]), total: le.Uint64(b[64:]), offset: le.Uint64(b[72:]),
		counter: counter,
	}, nil
}

// zeroCRC stands for the checksum's own field.
var zeroCRC [4]byte

// checksum returns the CRC32C of the frame with zeros in place of its checksum. TCP's own checksum
// is too weak for terabytes of activations, and a flipped bit in a latent would show as noise, or
// not at all.
func checksum(b []byte) uint32 {
	crc := crc32.Update(0, castagnoli, b[:crcAt])
	crc = crc32.Update(crc, castagnoli, zeroCRC[:])
	return crc32.Update(crc, castagnoli, b[headerBytes:])
}

// geometry is how a message is cut: count chunks of size bytes, of which the last may be shorter.
type geometry struct {
	total, size uint64
	count       uint32
}

// cut returns the geometry of total bytes in chunks of size. An empty message has one empty chunk.
func cut(total, size uint64) (geometry, error) {
	count := uint64(1)
	if total > size {
		count = (total-1)/size + 1
	}
	if count > chunksMax {
		return geometry{}, fmt.Errorf("%d bytes in chunks of %d: %d chunks are the most",
			total, size, chunksMax)
	}
	return geometry{total: total, size: size, count: uint32(count)}, nil
}

// span returns the bytes [lo, hi) of a chunk.
func (g geometry) span(chunk uint32) (lo, hi uint64) {
	lo = uint64(chunk) * g.size
	return lo, min(lo+g.size, g.total)
}

// geometry reconstructs the cut from any one data frame, with a payload of n bytes: the first chunk
// tells the size by its length, every other one by its offset. A frame that contradicts itself
// gives an error, and so can never index outside a buffer.
func (h header) geometry(n int) (geometry, error) {
	size := uint64(n)
	if h.index > 0 {
		size = h.offset / uint64(h.index)
	}
	if size == 0 && h.total > 0 {
		return geometry{}, errors.New("an empty chunk")
	}
	if h.total == 0 {
		size = 1
	}

	g, err := cut(h.total, size)
	if err != nil {
		return g, err
	}
	lo, hi := g.span(h.index)
	if h.index >= g.count || h.offset != lo || hi-lo != uint64(n) {
		return g, fmt.Errorf("chunk %d of %d bytes at %d does not fit %d bytes",
			h.index, n, h.offset, h.total)
	}
	return g, nil
}
