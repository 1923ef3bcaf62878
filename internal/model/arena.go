package model

import "github.com/longtake/longtake/internal/compute"

// Arena hands out a device's memory for one computation and frees it at once. After an error every
// further matrix is empty; Err tells it.
type Arena struct {
	dev  compute.Device
	mems []compute.Memory
	err  error
}

// NewArena allocates on dev.
func NewArena(dev compute.Device) *Arena { return &Arena{dev: dev} }

// Mat allocates a zeroed matrix [rows, cols].
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

// Err returns the first refusal of the device.
func (a *Arena) Err() error {
	if a.err != nil {
		a.Free()
	}
	return a.err
}

// Free gives everything back.
func (a *Arena) Free() {
	for _, m := range a.mems {
		a.dev.Free(m)
	}
	a.mems = nil
}
