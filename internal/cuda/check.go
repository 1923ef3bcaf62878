//go:build cuda

package cuda

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// view is a matrix in the GPU's memory; strides are in elements.
type view struct {
	at                 cu.DevicePtr
	rows, cols, stride int
}

// ptr is where a view begins.
func ptr(v view) value { return value(v.at) }

// block is what v is to copies.
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

// viewOf checks that m lies inside its memory and views it.
func viewOf(op, name string, m compute.Mat) view {
	if m.Rows < 0 || m.Cols < 0 || m.Off < 0 || m.Rows > 1 && m.Stride < m.Cols {
		panic(fmt.Sprintf("cuda: %s: %s is a broken matrix: %d x %d, offset %d, stride %d",
			op, name, m.Rows, m.Cols, m.Off, m.Stride))
	}
	v := view{rows: m.Rows, cols: m.Cols, stride: m.Stride}
	if m.Rows == 0 || m.Cols == 0 {
		v.stride = 0
		return v
	}
	h := memoryOf(op, m.Mem)
	if end := m.Off + (m.Rows-1)*m.Stride + m.Cols; end > h.n {
		panic(fmt.Sprintf("cuda: %s: %s ends at element %d of %d", op, name, end, h.n))
	}
	v.at = h.at + cu.DevicePtr(4*m.Off)
	return v
}

// sized is viewOf for a matrix that must be rows x cols.
func sized(op, name string, m compute.Mat, rows, cols int) view {
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("cuda: %s: %s is %d x %d, want %d x %d",
			op, name, m.Rows, m.Cols, rows, cols))
	}
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

func checkActivation(op string, act compute.Activation) {
	if act > compute.SiLU {
		panic(fmt.Sprintf("cuda: %s: activation %d is unknown", op, act))
	}
}

// apart panics when two matrices share elements. Matrices in the same memory with different
// strides are not judged.
func apart(op, an, bn string, a, b compute.Mat) {
	if a.Mem == nil || a.Mem != b.Mem || a.Rows*a.Cols == 0 || b.Rows*b.Cols == 0 ||
		a.Stride != b.Stride || a.Stride == 0 {
		return
	}
	if a.Off+(a.Rows-1)*a.Stride+a.Cols <= b.Off || b.Off+(b.Rows-1)*b.Stride+b.Cols <= a.Off {
		return
	}
	ac, bc := a.Off%a.Stride, b.Off%b.Stride
	if ac+a.Cols <= bc || bc+b.Cols <= ac {
		return
	}
	panic(fmt.Sprintf("cuda: %s: %s overlaps %s", op, an, bn))
}
