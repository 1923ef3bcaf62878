//go:build cuda

package cuda

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// check holds arguments to compute.Device's contract; what it cannot know, whose memory an argument
// is, the functions below check.
const check compute.Checker = "cuda"

// view is a matrix in the GPU's memory; strides are in elements. An operand's are what its form
// makes of them, see operand.
type view struct {
	at                 cu.DevicePtr
	rows, cols, stride int
	form               form
}

// ptr is where a view begins, as a kernel takes it.
func ptr(v view) value { return value(v.at) }

// block returns v in bytes, as copies take it.
func (v view) block() block {
	return block{at: v.at, rows: v.rows, width: 4 * int64(v.cols), pitch: 4 * int64(v.stride)}
}

// memoryOf returns memory of this package that is still allocated; anything else panics.
func memoryOf(op string, m compute.Memory) *memory {
	h, ok := m.(*memory)
	if !ok || h == nil {
		panic(fmt.Sprintf("cuda: %s: memory of type %T is not of the cuda device", op, m))
	}
	if h.freed {
		panic(fmt.Sprintf("cuda: %s: memory is used after it was freed", op))
	}
	return h
}

// viewOf is anyView for a matrix that must not be an operand.
func viewOf(op, name string, m compute.Mat) view {
	v := anyView(op, name, m)
	if v.form != floats {
		panic(fmt.Sprintf("cuda: %s: %s is an operand, which this operation does not take", op, name))
	}
	return v
}

// anyView checks that m lies inside its memory and views it. A matrix without elements needs none.
func anyView(op, name string, m compute.Mat) view {
	check.Shape(op, name, m)
	if m.Rows == 0 || m.Cols == 0 {
		return view{rows: m.Rows, cols: m.Cols}
	}
	h := memoryOf(op, m.Mem)
	check.Inside(op, name, m)
	if h.Operand() {
		return h.operand.view(op, name, m)
	}
	return view{at: h.at + cu.DevicePtr(4*m.Off), rows: m.Rows, cols: m.Cols, stride: m.Stride}
}

// sized is viewOf for a matrix that must be rows x cols.
func sized(op, name string, m compute.Mat, rows, cols int) view {
	check.Size(op, name, m, rows, cols)
	return viewOf(op, name, m)
}

// optional views a matrix of like's size; what is not set begins at 0.
func optional(op, name string, m *compute.Mat, like view) view {
	if m == nil {
		return view{}
	}
	return sized(op, name, *m, like.rows, like.cols)
}

// vectorOf returns where the n parameters of v are, 0 for a nil v.
func vectorOf(op, name string, v compute.Vector, n int) value {
	if v == nil {
		return 0
	}
	h, ok := v.(*vector)
	if !ok {
		panic(fmt.Sprintf("cuda: %s: %s is a %T, not a vector of the cuda device", op, name, v))
	}
	if h.n != n {
		panic(fmt.Sprintf("cuda: %s: %s has %d elements, want %d", op, name, h.n, n))
	}
	return arg(h.data.at)
}
