//go:build cuda

package cuda

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

var _ compute.Rounder = (*Device)(nil)

// form is how a matrix lies in memory: the numbers of kernels/include/operand.h.
type form int

const (
	floats   form = iota // float32 in rows: no operand
	inRows               // bfloat16 in rows, as v2 reads it
	inPanels             // bfloat16 in panels, as v3 reads it
)

// swizzle is the bytes over which 128-byte swizzling repeats; panels begin at a multiple of it.
const swizzle = panelGroup * panelBytes

// operand is what memory says of the operand that it holds.
type operand struct {
	form  form
	cols  int          // of the whole matrix
	ld    int          // of kernels: elements between rows, or rows between panels
	first cu.DevicePtr // where it begins
}

// Operand implements compute.OperandMemory.
func (m *memory) Operand() bool { return m.operand.form != floats }

// formOf returns the form in which products of type t read a matrix of so many columns: by heads of
// a width, or as linear layers do. Heads that do not fill what a kernel reads at a time have to be
// padded, which is left to the product.
func (d *Device) formOf(cols, headDim int, t compute.DType) form {
	if t != compute.BF16 {
		return floats
	}

	by := d.linearOf(cols, cols, t)
	if headDim > 0 {
		by = d.attentionOf(headDim, false, t)
	}
	switch by.kernel {
	case linearV3:
		return inPanels
	case linearV2:
		return inRows
	case attentionV3Of64, attentionV3Of128:
		if headDim == by.cols {
			return inPanels
		}
	case attentionV2Of32, attentionV2Of64, attentionV2Of128:
		if headDim%runV2 == 0 {
			return inRows
		}
	}
	return floats
}

// operandOf returns an operand of that size, which begins at 0, and its bytes. Tiles of products
// read panels beyond their last row: there are zeros.
func (d *Device) operandOf(rows, cols, headDim int, t compute.DType) (operand, int64) {
	switch f := d.formOf(cols, headDim, t); f {
	case inRows:
		return operand{form: f, cols: cols, ld: cols}, int64(2 * rows * cols)
	case inPanels:
		pitch := panelPitch(rows) + rowsV3
		if headDim > 0 {
			pitch = ceil(rows, keysV3) * keysV3
		}
		return operand{form: f, cols: cols, ld: pitch},
			int64(panelBytes*panelCount(cols)*pitch + swizzle)
	}
	return operand{}, 0
}

// OperandBytes implements compute.Rounder.
func (d *Device) OperandBytes(rows, cols, headDim int, t compute.DType) int64 {
	_, bytes := d.operandOf(rows, cols, headDim, t)
	return bytes
}

// AllocOperand implements compute.Rounder.
func (d *Device) AllocOperand(rows, cols, headDim int, t compute.DType) (compute.Memory, error) {
	o, bytes := d.operandOf(rows, cols, headDim, t)
	if bytes == 0 {
		return d.Alloc(rows * cols)
	}
	d.enter("AllocOperand")
	defer d.leave()
	m, err := d.take(bytes)
	if err != nil {
		return nil, err
	}

	o.first = m.at
	if o.form == inPanels {
		o.first += (swizzle - m.at%swizzle) % swizzle
	}
	m.n, m.operand = rows*cols, o
	d.keep(cu.MemsetD8Async(m.at, 0, bytes, d.stream))
	return m, d.failure()
}

// view returns a part of the operand, whose memory the caller has checked to be large enough.
func (o operand) view(op, name string, m compute.Mat) view {
	if m.Rows > 1 && m.Stride != o.cols {
		panic(fmt.Sprintf("cuda: %s: %s has rows %d apart in an operand of %d columns", op, name,
			m.Stride, o.cols))
	}
	whole := view{at: o.first, stride: o.ld, form: o.form}
	return whole.part(m.Off/o.cols, m.Off%o.cols, m.Rows, m.Cols)
}

// part views rows x cols of v from element (i, j) on.
func (v view) part(i, j, rows, cols int) view {
	p := view{rows: rows, cols: cols, stride: v.stride, form: v.form}
	switch v.form {
	case floats:
		p.at = v.at + cu.DevicePtr(4*(i*v.stride+j))
	case inRows:
		p.at = v.at + cu.DevicePtr(2*(i*v.stride+j))
	case inPanels:
		// As operand::Matrix of the kernels, which swizzles where it stores.
		within := v.at % panelBytes
		col := int(within)/2 + j
		p.at = v.at - within + cu.DevicePtr((col/panelCols*v.stride+i)*panelBytes+2*(col%panelCols))
	}
	return p
}

// matrix is a view as kernels take it that store operands as well: three parameters.
func (v view) matrix() []value { return []value{ptr(v), num(v.stride), num(int(v.form))} }

// either is sized for a matrix that may be an operand.
func either(op, name string, m compute.Mat, rows, cols int) view {
	check.Size(op, name, m, rows, cols)
	return anyView(op, name, m)
}

// asOperand checks that a view is an operand of a form, from a row and a column on at which a
// product can begin to read it.
func (v view) asOperand(op, name string, f form) {
	if v.form != f {
		panic(fmt.Sprintf("cuda: %s: %s is an operand of another kind of product", op, name))
	}
	if f == inPanels && v.at%swizzle != 0 || f == inRows && v.at%(2*runV2) != 0 {
		panic(fmt.Sprintf("cuda: %s: %s begins in the middle of an operand", op, name))
	}
}
