package cpu

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
)

// threadsMax bounds Options.Threads.
const threadsMax = 1024

// Options configures a Device.
type Options struct {
	// Threads is the number of workers, the caller included; 0 means GOMAXPROCS.
	Threads int
	// MemoryBytes bounds what Alloc, PackLinear, PackConv and Vector hold at once, in bytes;
	// 0 means no limit. Scratch of the operations is small and comes on top.
	MemoryBytes int64
}

// Device implements compute.Device and compute.HostMemory on the host's processor. One goroutine at
// a time uses it; only Progress may be called from others.
type Device struct {
	kern      *kernels
	pool      *pool
	limit     int64        // of used, in bytes; 0: none
	used      atomic.Int64 // bytes of memory and weights
	nonFinite atomic.Bool  // a norm has met NaN or an infinity since SawNonFinite was called

	// Scratch of operations. It grows and stays, as most operations are repeated in the next layer.
	keys   []float32 // packed keys and values of attention
	units  []float32 // the rounded input of a product
	scales []float32 // of its rows, in FP8
	zero   []float32 // never written
	norms  memory    // what convolutions are given no memory for

	// The arguments of the running operation, in place so that running it allocates nothing.
	rowwise   rowwise
	product   product
	matrix    matrix
	gather    gather
	attention attention
}

// zeros returns n zeros that nobody may write.
func (d *Device) zeros(n int) []float32 {
	if len(d.zero) < n {
		d.zero = make([]float32, n)
	}
	return d.zero[:n]
}

var (
	_ compute.Device         = (*Device)(nil)
	_ compute.HostMemory     = (*Device)(nil)
	_ compute.Packer         = (*Device)(nil)
	_ compute.FiniteObserver = (*Device)(nil)
	_ compute.Stoppable      = (*Device)(nil)
)

// New starts a Device with the given number of threads; 0 means GOMAXPROCS. See Open.
func New(threads int) (*Device, error) { return Open(Options{Threads: threads}) }

// Open starts a Device. It refuses options out of range, and a value of LONGTAKE_CPU, the
// environment variable that forces a set of kernels, that is unknown or that this machine cannot
// run: "avx512bf16", "avx512", "avx2" or "generic".
func Open(o Options) (*Device, error) {
	if o.Threads < 0 || o.Threads > threadsMax {
		return nil, fmt.Errorf("cannot start cpu device: threads is %d, allowed are 0 to %d",
			o.Threads, threadsMax)
	}
	if o.MemoryBytes < 0 {
		return nil, fmt.Errorf("cannot start cpu device: memory limit is %d bytes, want 0 or more",
			o.MemoryBytes)
	}

	kern, err := chooseKernels()
	if err != nil {
		return nil, fmt.Errorf("cannot start cpu device: %w", err)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return &Device{kern: kern, pool: newPool(o.Threads), limit: o.MemoryBytes}, nil
}

// Name describes the device, for instance "cpu: 2 threads, generic".
func (d *Device) Name() string {
	unit := "threads"
	if d.pool.size() == 1 {
		unit = "thread"
	}
	return fmt.Sprintf("cpu: %d %s, %s", d.pool.size(), unit, d.kern.name)
}

// Arithmetic names what determines the bits of results, the set of kernels. Devices with the same
// name compute the same bits.
func (d *Device) Arithmetic() string { return d.kern.name }

// Packing implements compute.Packer: a set of kernels has one layout, for any number of threads.
func (d *Device) Packing() string { return "cpu " + d.kern.name }

// Threads returns how many threads compute.
func (d *Device) Threads() int { return d.pool.size() }

// Close stops the workers and waits for them. Closing twice is harmless.
func (d *Device) Close() error {
	d.pool.close()
	d.keys, d.units, d.scales = nil, nil, nil
	return nil
}

// Sync returns at once: every operation is done when its call returns. The error says that
// operations were stopped.
func (d *Device) Sync() error { return d.pool.stop.Err() }

// Progress returns a number that changes whenever a task of an operation is done. Tasks take a good
// part of a second at most, so a number that stays for longer means that the device hangs or idles.
// Any goroutine may call it.
func (d *Device) Progress() uint64 { return d.pool.progress() }

// StopWith implements compute.Stoppable.
func (d *Device) StopWith(ctx context.Context) (release func()) {
	return d.pool.stop.StopWith(ctx)
}
