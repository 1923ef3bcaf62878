package compute

// OperandRows is what the first row of an operand's part has to be a multiple of, for a product to
// read the part.
const OperandRows = 8

// Rounder is offered by devices whose products do not read float32: they round a matrix first and
// lay it out anew. What makes such a matrix can leave it so, as an operand, which is written once,
// with half of the bytes, and has the same bits in a product.
//
// An operand is a Mat, whose parts are viewed as those of any other; only where its elements lie is
// the device's business. It may be dst of LayerNorm, RMSNorm, Attention, Add, Copy and, without a
// Residual, Linear. It may be x of Linear, k and v of Attention (both or none), and src of Copy;
// uploads and downloads convert. No other operation takes an operand. A part that a product reads
// begins at a multiple of OperandRows; x is all columns, and k and v are whole heads.
type Rounder interface {
	// OperandBytes returns how many bytes AllocOperand takes, or 0 where the device's products of
	// type t read float32 matrices of that width.
	OperandBytes(rows, cols, headDim int, t DType) int64
	// AllocOperand returns zeroed memory for an operand [rows, cols], to be viewed by NewMat. It is
	// for the keys or values of heads of width headDim, or for linear layers where that is 0.
	AllocOperand(rows, cols, headDim int, t DType) (Memory, error)
}

// OperandMemory is memory that may be that of an operand.
type OperandMemory interface {
	Memory
	// Operand reports whether the memory is an operand's.
	Operand() bool
}

// Operand reports whether m is an operand, see Rounder.
func (m Mat) Operand() bool {
	o, ok := m.Mem.(OperandMemory)
	return ok && o.Operand()
}

// OperandBytes returns the bytes of an operand on dev, see Rounder; 0 where it has none.
func OperandBytes(dev Device, rows, cols, headDim int, t DType) int64 {
	if r, ok := dev.(Rounder); ok {
		return r.OperandBytes(rows, cols, headDim, t)
	}
	return 0
}
