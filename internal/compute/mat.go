package compute

import "fmt"

// Memory is a run of float32 elements that one Device allocated.
type Memory interface {
	// Len returns the number of float32 elements.
	Len() int
}

// Linear is a packed weight [Out, In] with its bias, ready for one Device.
type Linear interface {
	// Dims returns out and in.
	Dims() (out, in int)
	// Part views outputs [lo, hi) of the weight: a Linear of its own, with the same bits.
	Part(lo, hi int) Linear
}

// Conv is a packed convolution weight, ready for one Device.
type Conv interface {
	// Shape returns the shape of the weight it was packed from.
	Shape() ConvShape
}

// Vector is a row of parameters in a device's memory.
type Vector interface {
	// Len returns the number of elements.
	Len() int
}

// Mat is a row-major matrix [Rows, Cols] in a device's memory: element (i, j) lies at
// Off + i*Stride + j.
type Mat struct {
	Mem                     Memory
	Off, Rows, Cols, Stride int
}

// NewMat views memory as a dense matrix. It panics when the memory is too small.
func NewMat(m Memory, rows, cols int) Mat {
	if rows*cols > m.Len() {
		panic(fmt.Sprintf("compute: %d x %d does not fit in %d elements", rows, cols, m.Len()))
	}
	return Mat{Mem: m, Rows: rows, Cols: cols, Stride: cols}
}

// RowRange views rows [lo, hi).
func (m Mat) RowRange(lo, hi int) Mat {
	if lo < 0 || hi < lo || hi > m.Rows {
		panic(fmt.Sprintf("compute: rows [%d, %d) of %d", lo, hi, m.Rows))
	}
	m.Off, m.Rows = m.Off+lo*m.Stride, hi-lo
	return m
}

// ColRange views columns [lo, hi).
func (m Mat) ColRange(lo, hi int) Mat {
	if lo < 0 || hi < lo || hi > m.Cols {
		panic(fmt.Sprintf("compute: columns [%d, %d) of %d", lo, hi, m.Cols))
	}
	m.Off, m.Cols = m.Off+lo, hi-lo
	return m
}

// Dense reports whether rows follow each other without gaps.
func (m Mat) Dense() bool { return m.Stride == m.Cols || m.Rows <= 1 }
