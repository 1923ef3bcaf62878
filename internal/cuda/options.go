package cuda

import (
	"errors"
	"time"

	"github.com/longtake/longtake/internal/compute"
)

// ErrNone says that there is no GPU to open: this build has no CUDA, the machine no driver, or the
// driver no device. Callers fall back to the CPU.
var ErrNone = errors.New("no GPU")

// Options choose a GPU and how its memory is taken.
type Options struct {
	// Ordinal is the driver's number of the GPU.
	Ordinal int
	// Generation names the kernels for products in bfloat16, "v1" for instance; "" means what the
	// environment variable LONGTAKE_CUDA names, or else the best that the GPU runs.
	Generation string
	// Conv is the type of what convolutions multiply. FP32, the default, is near it: where a
	// generation has tensor cores, numbers are two of bfloat16 and products three. BF16 needs such a
	// generation.
	Conv compute.DType
	// SlabBytes is how much memory is asked of the driver at once; 0 means 64 MiB.
	SlabBytes int64
	// Exact asks the driver for every allocation by itself, so that a debugging driver can tell them
	// apart. Reserve does nothing then.
	Exact bool
	// CopyBytes is the size of the pieces in which copies that overlap computing pass through pinned
	// memory; 0 means 4 MiB.
	CopyBytes int
}

// GPU is an open device with what the control plane asks of devices of either kind.
type GPU interface {
	compute.Device
	// Arithmetic names what decides about the bits of results: the generation of kernels, and
	// Options.Conv.
	Arithmetic() string
	// Threads returns 0: a GPU has none to choose.
	Threads() int
	// Elapsed returns how long the GPU takes for what f issues, by its own clock.
	Elapsed(f func() error) (time.Duration, error)
}
