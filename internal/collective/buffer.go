package collective

import (
	"strings"
	"unsafe"
)

// Alignment is what the address of every buffer that Recv returns is a multiple of, in bytes, so
// that it can be read as float32 or uint64 in place.
const Alignment = 8

// NewBuffer returns n zero bytes whose address is a multiple of Alignment.
func NewBuffer(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	words := make([]uint64, (n+Alignment-1)/Alignment)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*Alignment)[:n:n]
}

// Dirty is NewBuffer for memory that is written whole before anybody reads it: it may hold
// anything. Zeroing it first would cost a large message much of the time that receiving it takes.
// What was given back by Release is used again.
func Dirty(n int) []byte {
	if n < dirtyLeast {
		return NewBuffer(n)
	}
	if b := released.take(n); b != nil {
		return b
	}

	// Go makes memory without zeroing it for strings.Builder alone. Large pieces have pages of their
	// own, and so are aligned. Nobody else has the string, so its memory may be written.
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// dirtyLeast is far above what the allocator packs together, in bytes.
const dirtyLeast = 64 << 10

// Align returns b itself if its address is a multiple of Alignment, else an aligned copy. It never
// returns nil, so that a message that is there can be told from none.
func Align(b []byte) []byte {
	if len(b) > 0 && uintptr(unsafe.Pointer(&b[0]))%Alignment == 0 {
		return b
	}
	c := NewBuffer(len(b))
	copy(c, b)
	return c
}
