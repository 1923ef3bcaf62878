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
	if a.err != nil {
		return compute.Mat{}
	}
	m, err := a.dev.Alloc(rows * cols)
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
