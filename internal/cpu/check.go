package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

// check holds arguments to compute.Device's contract; what it cannot know, whose memory an argument
// is, the functions below check.
const check compute.Checker = "cpu"

// memoryOf returns memory of this package that is still allocated; anything else panics.
func memoryOf(op string, m compute.Memory) *memory {
	h, ok := m.(*memory)
	if !ok || h == nil {
		panic(fmt.Sprintf("cpu: %s: memory of type %T is not of the cpu device", op, m))
	}
	if h.data == nil {
		panic(fmt.Sprintf("cpu: %s: memory is used after it was freed", op))
	}
	return h
}

// viewOf checks that m lies inside its memory and views it. A matrix without elements needs none.
func viewOf(op, name string, m compute.Mat) view {
	check.Shape(op, name, m)
	if m.Rows == 0 || m.Cols == 0 {
		return view{rows: m.Rows, cols: m.Cols}
	}
	h := memoryOf(op, m.Mem)
	check.Inside(op, name, m)
	end := m.Off + (m.Rows-1)*m.Stride + m.Cols
	return view{rows: m.Rows, cols: m.Cols, stride: m.Stride, data: h.data[m.Off:end:end]}
}

// sized is viewOf for a matrix that must be rows x cols.
func sized(op, name string, m compute.Mat, rows, cols int) view {
	check.Size(op, name, m, rows, cols)
	return viewOf(op, name, m)
}

// vectorOf returns the n parameters of v, or nil for a nil v.
func vectorOf(op, name string, v compute.Vector, n int) []float32 {
	if v == nil {
		return nil
	}
	h, ok := v.(vector)
	if !ok {
		panic(fmt.Sprintf("cpu: %s: %s is a %T, not a vector of the cpu device", op, name, v))
	}
	if len(h) != n {
		panic(fmt.Sprintf("cpu: %s: %s has %d elements, want %d", op, name, len(h), n))
	}
	return h
}
