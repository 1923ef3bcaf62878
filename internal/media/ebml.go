package media

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"
)

// id returns the bytes of an element's ID, the first of which tells their number.
func id(v uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, v)[bits.LeadingZeros32(v)/8:]
}

// sized appends a data size as a variable-length integer of 8 bytes, so that it can be overwritten
// by any other.
func sized(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, 1<<56|n) }

// element returns an EBML element (RFC 8794) with the shortest size that holds its body's.
func element(name uint32, body []byte) []byte {
	// A size of k bytes holds 7·k bits.
	n, width := uint64(len(body)), 1
	for n >= 1<<(7*width)-1 { // all ones mean: unknown
		width++
	}

	// The size's first byte marks its own length by its highest bit that is set.
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

// number returns an unsigned integer element, in the fewest bytes.
func number(name uint32, v uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, v)
	return element(name, b[min(bits.LeadingZeros64(v)/8, 7):])
}

// fixed returns an unsigned integer element of 8 bytes, whatever its value, so that the size of
// what holds it is known before the value.
func fixed(name uint32, v uint64) []byte {
	return element(name, binary.BigEndian.AppendUint64(nil, v))
}

// place is where an element lies in a file, its ID and size excluded.
type place struct {
	name      uint32
	body, end int64 // offsets of its data
}

var errElement = errors.New("not an EBML element that ends where it should")

// locate reads the ID and the size of the element at an offset, which has to end at end at the
// latest. An element of unknown size is an error here.
func locate(r io.ReaderAt, at, end int64) (place, error) {
	head := make([]byte, min(end-at, 4+8))
	if n, err := r.ReadAt(head, at); n < len(head) {
		return place{}, err
	}

	// An ID keeps the mark of its length; a size does not.
	name, rest := vint(head, 4)
	size, body := vint(rest, 8)
	if body == nil {
		return place{}, errElement
	}

	// The mark is the bit above the size's 7 bits for each of its bytes.
	size &^= 1 << (7 * (len(rest) - len(body)))
	//nolint:gosec // of 4 bytes
	p := place{name: uint32(name), body: at + int64(len(head)-len(body))}
	if size > uint64(end-p.body) { //nolint:gosec // not negative
		return place{}, errElement
	}

	p.end = p.body + int64(size) //nolint:gosec // checked above
	return p, nil
}

// vint takes a variable-length integer of at most `most` bytes, mark included, from the front of b.
// The rest is nil where there is none.
func vint(b []byte, most int) (v uint64, rest []byte) {
	// The number of leading zeros is the number of bytes after the first.
	if len(b) == 0 || b[0] == 0 {
		return 0, nil
	}
	n := bits.LeadingZeros8(b[0]) + 1
	if n > most || n > len(b) {
		return 0, nil
	}
	for _, c := range b[:n] {
		v = v<<8 | uint64(c)
	}
	return v, b[n:]
}

// concat puts byte slices together in a new one.
func concat(parts ...[]byte) []byte { return slices.Concat(parts...) }
