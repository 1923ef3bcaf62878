package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Shape lists the dimensions, slowest first. An empty shape is a scalar.
type Shape []int

// Elements returns the product of the dimensions, 1 for a scalar. It does not guard against
// overflow: shapes from outside are checked where they are read.
func (s Shape) Elements() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(o Shape) bool { return slices.Equal(s, o) }

// Tensor is a dense array in host memory, row-major. Data may be a read-only mapping of a file, and
// need not be aligned.
type Tensor struct {
	DType DType
	Shape Shape
	Data  []byte // Shape.Elements() little-endian elements
}

// FromFloat32 wraps v, without a copy, as an F32 tensor of the given shape.
// It panics when the shape does not hold len(v) elements.
func FromFloat32(v []float32, shape ...int) Tensor {
	if Shape(shape).Elements() != len(v) {
		panic(fmt.Sprintf("tensor: shape %v does not hold %d elements", shape, len(v)))
	}
	return Tensor{DType: F32, Shape: shape, Data: Bytes(v)}
}

// Float32 returns the elements as a new []float32. F32, F16, BF16 and F64 convert, the last one
// with rounding; any other type is an error, and so is data of another size than the shape says.
func (t Tensor) Float32() ([]float32, error) {
	n := t.Shape.Elements()
	if len(t.Data) != n*t.DType.Size() {
		return nil, fmt.Errorf("tensor of %v %v has %d bytes", t.DType, t.Shape, len(t.Data))
	}

	out := make([]float32, n)
	switch t.DType {
	case F32:
		copy(Bytes(out), t.Data)
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		}
	case F16:
		for i := range out {
			out[i] = F16ToFloat32(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
	case BF16:
		for i := range out {
			out[i] = BF16ToFloat32(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
	default:
		return nil, fmt.Errorf("cannot read dtype %v as float32", t.DType)
	}
	return out, nil
}

// Bytes views v as little-endian bytes without a copy; writes to either show in both. The host must
// be little-endian.
func Bytes(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}

// Floats views b as float32 without a copy. It panics when len(b) is no multiple of 4 or b is not
// aligned to 4 bytes; callers that take bytes from outside check the length first.
func Floats(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	p := unsafe.Pointer(&b[0])
	if len(b)%4 != 0 || uintptr(p)%4 != 0 {
		panic(fmt.Sprintf("tensor: %d bytes at %p are no float32 array", len(b), p))
	}
	return unsafe.Slice((*float32)(p), len(b)/4)
}
