package collective

import "unsafe"

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
