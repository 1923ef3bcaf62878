package direct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	frameMagic  = 0x444c // "LD" in little endian order
	prefixBytes = 16     // before the header
	// HeaderMax bounds a frame's header, in bytes.
	HeaderMax = 128
	// PayloadMax bounds a frame's payload, in bytes.
	PayloadMax = 16 << 20
)

// castagnoli is the polynomial of CRC32C, for which CPUs have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// prefix is the beginning of a frame.
type prefix struct {
	header  int    // bytes
	payload int    // bytes
	sum     uint32 // CRC32C of the payload
	check   uint32 // CRC32C of the prefix before it, and of the header
}

// appendHead appends prefix and header of a frame whose payload has n bytes and the CRC32C sum.
func appendHead(dst, header []byte, n int, sum uint32) []byte {
	start, le := len(dst), binary.LittleEndian
	dst = le.AppendUint16(dst, frameMagic)
	dst = append(dst, byte(len(header)), 0)
	dst = le.AppendUint32(dst, uint32(n))
	dst = le.AppendUint32(dst, sum)
	crc := crc32.Update(crc32.Checksum(dst[start:], castagnoli), castagnoli, header)
	dst = le.AppendUint32(dst, crc)
	return append(dst, header...)
}

// parsePrefix reads the prefix of a frame, of which b has all bytes. It bounds what has to be read
// after it; only verify tells whether it is right.
func parsePrefix(b []byte) (prefix, error) {
	le := binary.LittleEndian
	p := prefix{header: int(b[2]), payload: int(le.Uint32(b[4:])), sum: le.Uint32(b[8:]),
		check: le.Uint32(b[12:])}
	switch {
	case le.Uint16(b) != frameMagic || b[3] != 0:
		return p, errors.New("not a frame")
	case p.header > HeaderMax || p.payload > PayloadMax:
		return p, fmt.Errorf("a frame of %d and %d bytes; allowed: %d and %d", p.header, p.payload,
			HeaderMax, PayloadMax)
	case p.header == 0 && p.payload > 0:
		return p, errors.New("a payload without a header")
	}
	return p, nil
}

var (
	errHeaderSum  = errors.New("a header with a wrong checksum")
	errPayloadSum = errors.New("a payload with a wrong checksum")
)

// verify checks prefix and header, which raw has one after the other.
func (p prefix) verify(raw []byte) error {
	const at = prefixBytes - 4 // of the checksum itself
	crc := crc32.Checksum(raw[:at], castagnoli)
	if crc32.Update(crc, castagnoli, raw[prefixBytes:]) != p.check {
		return errHeaderSum
	}
	return nil
}
