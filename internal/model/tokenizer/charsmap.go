package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// graphemeBytesMax is the size in bytes from which a grapheme cluster is no longer looked up as a
// whole. The reference has the same limit.
const graphemeBytesMax = 6

// charsmap is SentencePiece's precompiled normalization table: a Darts double array from byte
// strings to offsets in a blob of NUL-terminated replacements.
//
// Layout of its bytes: the size of the array in bytes (uint32, little endian), the array's units
// (uint32, little endian), the blob. A unit holds a label in its low 8 bits, whether a key ends in
// bit 8, and the offset to its children in bits 10 to 30, shifted by 8 more where bit 9 is set; a
// leaf has bit 31 set and an offset into the blob (Darts-clone, S. Yata).
type charsmap struct {
	units []uint32
	blob  string
}

// parseCharsmap reads a table. An empty array, one that is cut short, or a blob that is not UTF-8
// is an error. Offsets within are checked by each lookup.
func parseCharsmap(data []byte) (*charsmap, error) {
	if len(data) < 4 {
		return nil, errors.New("cannot read precompiled_charsmap: shorter than its header")
	}

	// The size counts bytes of units; trailing ones that make no unit are ignored.
	size := uint64(binary.LittleEndian.Uint32(data))
	data = data[4:]
	if size < 4 || size/4*4 > uint64(len(data)) {
		return nil, fmt.Errorf("cannot read precompiled_charsmap: trie of %d bytes in %d bytes",
			size, len(data))
	}

	// Units are copied, so that lookups need no decoding.
	m := &charsmap{units: make([]uint32, size/4)}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}

	m.blob = string(data[4*len(m.units):])
	if !utf8.ValidString(m.blob) {
		return nil, errors.New("cannot read precompiled_charsmap: replacements are not UTF-8")
	}
	return m, nil
}

// lookup returns the replacement of the shortest prefix of chunk that is in the table. The rest of
// chunk is then dropped, which is what Hugging Face's Precompiled normalizer does.
func (m *charsmap) lookup(chunk string) (string, bool) {
	pos := unitOffset(m.units[0])
	for i := 0; i < len(chunk) && chunk[i] != 0; i++ {
		// The child along a byte lies at the XOR of the parent's offset and the byte; its label says
		// whether it is there at all.
		pos ^= uint32(chunk[i])
		if pos >= uint32(len(m.units)) {
			return "", false
		}
		unit := m.units[pos]
		if unit&(1<<31|0xFF) != uint32(chunk[i]) {
			return "", false
		}
		pos ^= unitOffset(unit)

		if unit>>8&1 == 1 {
			return m.replacement(pos)
		}
	}
	return "", false
}

// replacement reads the leaf at pos; not ok where it points outside the blob or to something too
// long to be a piece.
func (m *charsmap) replacement(pos uint32) (string, bool) {
	if pos >= uint32(len(m.units)) {
		return "", false
	}

	// The leaf's unit is an offset into the blob, where a NUL ends the replacement.
	start := m.units[pos] &^ (1 << 31)
	if start > uint32(len(m.blob)) {
		return "", false
	}
	text := m.blob[start:]
	if end := strings.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return text, len(text) <= pieceBytesMax && utf8.ValidString(text)
}

// unitOffset is the distance from a unit to its children.
func unitOffset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
