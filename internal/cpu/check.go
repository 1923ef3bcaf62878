package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

// hostOf returns memory of this package that is still allocated; anything else panics.
func hostOf(op string, m compute.Memory) *memory {
	h, ok := m.(*memory)
	if !ok || h == nil {
		panic(fmt.Sprintf("cpu: %s: memory of type %T is not of the cpu device", op, m))
	}
	if h.data == nil {
		panic(fmt.Sprintf("cpu: %s: memory is used after it was freed", op))
	}
	return h
}

// viewOf checks that m lies inside its memory and views it.
func viewOf(op, name string, m compute.Mat) view {
	if m.Rows < 0 || m.Cols < 0 || m.Off < 0 || m.Rows > 1 && m.Stride < m.Cols {
		panic(fmt.Sprintf("cpu: %s: %s is a broken matrix: %d x %d, offset %d, stride %d",
			op, name, m.Rows, m.Cols, m.Off, m.Stride))
	}
	v := view{rows: m.Rows, cols: m.Cols, stride: m.Stride}
	if m.Rows == 0 || m.Cols == 0 {
		v.stride = 0
		return v
	}
	h := hostOf(op, m.Mem)
	end := m.Off + (m.Rows-1)*m.Stride + m.Cols
	if end > h.n {
		panic(fmt.Sprintf("cpu: %s: %s ends at element %d of %d", op, name, end, h.n))
	}
	v.data = h.data[m.Off:end:end]
	return v
}

// sized is viewOf for a matrix that must be rows x cols.
func sized(op, name string, m compute.Mat, rows, cols int) view {
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is %d x %d, want %d x %d",
			op, name, m.Rows, m.Cols, rows, cols))
	}
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

// apart panics when two matrices share elements. Matrices in the same memory with different
// strides are not judged.
func apart(op, an, bn string, a, b compute.Mat) {
	if a.Mem == nil || a.Mem != b.Mem || a.Rows*a.Cols == 0 || b.Rows*b.Cols == 0 {
		return
	}
	if a.Off+(a.Rows-1)*a.Stride+a.Cols <= b.Off || b.Off+(b.Rows-1)*b.Stride+b.Cols <= a.Off {
		return
	}
	if a.Stride != b.Stride || a.Stride == 0 {
		return
	}
	ac, bc := a.Off%a.Stride, b.Off%b.Stride
	if ac+a.Cols <= bc || bc+b.Cols <= ac {
		return
	}
	panic(fmt.Sprintf("cpu: %s: %s overlaps %s", op, an, bn))
}
