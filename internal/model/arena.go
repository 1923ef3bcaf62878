package model

import "github.com/longtake/longtake/internal/compute"

// Arena allocates the device memory of one computation and frees all of it in one call. After the
// first error every further matrix is empty, so that a list of allocations needs one check of Err,
// at its end. It belongs to one goroutine.
type Arena struct {
	dev  compute.Device   // what memory is allocated on
	mems []compute.Memory // what Free gives back
	err  error            // the first one
}

// NewArena returns an empty arena on dev. With a compute.Meter as the device it allocates nothing,
// and the meter tells how many bytes the same calls would take.
func NewArena(dev compute.Device) *Arena { return &Arena{dev: dev} }

// Mat allocates a zeroed matrix [rows, cols]; after an error, an empty one.
func (a *Arena) Mat(rows, cols int) compute.Mat {
	return a.mat(rows, cols, func() (compute.Memory, error) { return a.dev.Alloc(rows * cols) })
}

// Operand allocates a zeroed matrix [rows, cols] that products of type t read: an operand where the
// device has some (see compute.Rounder), else what Mat does. It is for keys or values of heads
// of width headDim, or for linear layers where that is 0.
func (a *Arena) Operand(rows, cols, headDim int, t compute.DType) compute.Mat {
	if !a.Rounds(rows, cols, headDim, t) {
		return a.Mat(rows, cols)
	}
	return a.mat(rows, cols, func() (compute.Memory, error) {
		return a.dev.(compute.Rounder).AllocOperand(rows, cols, headDim, t)
	})
}

// Rounds reports whether Operand would allocate an operand, which Mat does not.
func (a *Arena) Rounds(rows, cols, headDim int, t compute.DType) bool {
	return compute.OperandBytes(a.dev, rows, cols, headDim, t) > 0
}

// mat is a matrix of memory that alloc returns.
func (a *Arena) mat(rows, cols int, alloc func() (compute.Memory, error)) compute.Mat {
	if a.err != nil {
		return compute.Mat{}
	}
	m, err := alloc()
	if err != nil {
		a.err = err
		return compute.Mat{}
	}
	a.mems = append(a.mems, m)
	return compute.NewMat(m, rows, cols)
}

// Err returns the device's first error, such as compute.ErrMemory, and in that case frees what was
// allocated: nothing stays of a computation that does not fit.
func (a *Arena) Err() error {
	if a.err != nil {
		a.Free()
	}
	return a.err
}

// Free returns all memory to the device. The arena may be used again; an error stays.
func (a *Arena) Free() {
	// The device may still be computing with them; it frees memory once that is done.
	for _, m := range a.mems {
		a.dev.Free(m)
	}
	a.mems = nil
}
