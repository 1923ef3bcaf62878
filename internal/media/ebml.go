package media

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// id returns an element's ID, whose length its first byte tells.
func id(v uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, v)[bits.LeadingZeros32(v)/8:]
}

// sized appends a data size as a variable-length integer of 8 bytes.
func sized(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, 1<<56|n) }

// element returns an EBML element with the shortest size that holds its body's.
func element(name uint32, body []byte) []byte {
	n, width := uint64(len(body)), 1
	for n >= 1<<(7*width)-1 { // all ones mean: unknown
		width++
	}
	b := id(name)
	for i := range width {
		v := byte(n >> (8 * (width - 1 - i)))
		if i == 0 {
			v |= 1 << (8 - width)
		}
		b = append(b, v)
	}
	return append(b, body...)
}

// number returns an unsigned integer element of the fewest bytes.
func number(name uint32, v uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, v)
	return element(name, b[min(bits.LeadingZeros64(v)/8, 7):])
}

// fixed returns an unsigned integer element of 8 bytes.
func fixed(name uint32, v uint64) []byte {
	return element(name, binary.BigEndian.AppendUint64(nil, v))
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }
