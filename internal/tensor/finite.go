package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// NotFiniteError says that values which should be numbers are NaN or infinite.
type NotFiniteError struct {
	What  string  // the values, such as "the velocity"
	Count int     // of those that are not finite, 0: nobody counted
	Of    int     // values in all
	At    int     // the place of the first one
	Value float32 // the first one
}

// Error implements error.
func (e *NotFiniteError) Error() string {
	if e.Count == 0 {
		return e.What + " is not finite"
	}
	return fmt.Sprintf("%s is not finite: %d of %d values, the first is %v at %d", e.What, e.Count,
		e.Of, e.Value, e.At)
}

// CheckFinite returns a *NotFiniteError that counts the values of v which are NaN or infinite, nil
// where there are none. what names the values in the error, such as "the velocity".
func CheckFinite(what string, v []float32) error {
	if Finite(v) {
		return nil
	}

	// Only now, when something is wrong, value by value.
	e := &NotFiniteError{What: what, Of: len(v)}
	for i, x := range v {
		if finite(x) {
			continue
		}
		if e.Count == 0 {
			e.At, e.Value = i, x
		}
		e.Count++
	}
	return e
}

// finite reports whether x is neither NaN nor infinite.
func finite(x float32) bool { return math.Abs(float64(x)) <= math.MaxFloat32 }

// Finite reports whether no value of v is NaN or infinite. It reads v once, at about 8 bytes in a
// cycle where v is in cache.
func Finite(v []float32) bool { return F32.finite(Bytes(v)) }

// scanBytes is the size of the pieces in which FirstNotFinite looks, a multiple of every type's
// size.
const scanBytes = 256 << 10

// FirstNotFinite returns the place of the first value that is NaN or infinite as a float32, and
// that value; the place is -1 where there is none, or where the type has no such values.
func (t Tensor) FirstNotFinite() (at int, value float32) {
	size := max(1, t.DType.Size())
	for lo := 0; lo < len(t.Data); lo += scanBytes {
		data := t.Data[lo:min(len(t.Data), lo+scanBytes)]
		if t.DType.finite(data) {
			continue
		}

		// Somewhere in this piece. Converting it is slow, and happens once.
		v, err := Tensor{DType: t.DType, Shape: Shape{len(data) / size}, Data: data}.Float32()
		if err != nil {
			return -1, 0
		}
		for i, x := range v {
			if !finite(x) {
				return lo/size + i, x
			}
		}
	}
	return -1, 0
}

// finite is Finite of little-endian bytes. A value is finite unless all bits of its exponent are
// set: adding the lowest of them then carries into the sign, which was cleared before. A word holds
// several values, and there is no carry from one into the next.
func (d DType) finite(b []byte) bool {
	switch d {
	case F32:
		return allBelow(b, 0x7fffffff_7fffffff, 0x00800000_00800000)
	case BF16:
		return allBelow(b, 0x7fff7fff_7fff7fff, 0x00800080_00800080)
	case F16:
		return allBelow(b, 0x7fff7fff_7fff7fff, 0x04000400_04000400)
	case F64: // as float32
		for ; len(b) >= 8; b = b[8:] {
			if !finite(float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))) {
				return false
			}
		}
	}
	return true
}

// allBelow reports whether no word of b, its last one filled with zeros, carries into a sign when
// lowest is added to it without its signs.
func allBelow(b []byte, unsigned, lowest uint64) bool {
	var all [4]uint64
	for ; len(b) >= 64; b = b[64:] {
		w := (*[64]byte)(b)
		for i := range all {
			x := binary.LittleEndian.Uint64(w[8*i:])
			y := binary.LittleEndian.Uint64(w[32+8*i:])
			all[i] |= (x&unsigned + lowest) | (y&unsigned + lowest)
		}
	}

	some := all[0] | all[1] | all[2] | all[3]
	for len(b) > 0 {
		var last [8]byte
		n := copy(last[:], b)
		some |= binary.LittleEndian.Uint64(last[:])&unsigned + lowest
		b = b[n:]
	}
	return some&^unsigned == 0
}
