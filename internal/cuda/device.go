//go:build cuda

package cuda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// Built says whether this program was built to run on GPUs at all.
const Built = true

// Device implements compute.Device on one GPU. One goroutine at a time uses it; the functions that
// Copies.Download returns may run on others.
type Device struct {
	name        string
	processors  int          // multiprocessors: blocks at work where each has one to itself
	ctx         cu.CUContext // the driver's state of this device; of every call's thread
	stream      cu.Stream    // of all operations
	module      cu.Module
	kernels     [kernelCount]cu.Function
	generations []generation  // the chosen one and, for what it lacks, the older ones
	conv        compute.DType // of what convolutions multiply
	memory      arena
	staging     staging        // what Upload and Download pass through
	index       [2]indexBuffer // of the two RowVecs that an operation may have
	lists       indexBuffer    // of keys that attention is given
	operand     *memory        // of a convolution that is given no memory
	scratch     *memory        // packed bfloat16 on its way out or in
	rounded     *memory        // x of a product, or keys and values, in the layout of v2 and v3
	params      params         // of launches on stream
	closed      bool

	// Copies that overlap the computing, and transfers between devices.
	ordinal  int
	offered  [2][]*transfer // since the latest BeginCopies, and between the two before
	taken    []*transfer    // of other devices, on their way here
	lanes    [2]lane        // down, up
	slotSize int            // of a lane, in bytes
	events   eventPool

	stop compute.StopFlag // once it is set, kernels are not launched

	mu  sync.Mutex
	err error // the first one of the driver; it sticks
}

var (
	_ GPU                  = (*Device)(nil)
	_ compute.StoredPacker = (*Device)(nil)
	_ compute.Dropper      = (*Device)(nil)
	_ compute.Reserver     = (*Device)(nil)
	_ compute.Copier       = (*Device)(nil)

	_ compute.Stoppable = (*Device)(nil)
)

// Open starts a Device. It fails with ErrNone where there is no GPU.
func Open(o Options) (GPU, error) {
	gpu, err := choose(o.Ordinal)
	if err != nil {
		return nil, err
	}

	d := &Device{ordinal: o.Ordinal, conv: o.Conv, slotSize: cmp.Or(o.CopyBytes, copySlotBytes)}
	d.memory.init(o)

	// The new context becomes that of the calling thread, which start's calls rely on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if d.ctx, err = gpu.MakeContext(cu.SchedAuto); err != nil {
		return nil, fmt.Errorf("cannot open GPU %d: %w", o.Ordinal, err)
	}
	if err = d.start(gpu, o); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open GPU %d: %w", o.Ordinal, err), d.Close())
	}
	return d, nil
}

// start loads the kernels and makes what a running device needs.
func (d *Device) start(gpu cu.Device, o Options) error {
	name, err := gpu.Name()
	if err != nil {
		return err
	}
	major, minor, err := gpu.ComputeCapability()
	if err != nil {
		return err
	}
	if d.processors, err = gpu.Attribute(cu.MultiprocessorCount); err != nil {
		return err
	}
	if d.generations, err = generationFor(o, major, minor); err != nil {
		return err
	}

	if err := d.checkConv(); err != nil {
		return err
	}

	d.name = fmt.Sprintf("cuda: %s, sm_%d%d, %s", name, major, minor, d.generations[0].name)
	if err := d.load(); err != nil {
		return err
	}

	if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return err
	}
	if err := d.staging.open(); err != nil {
		return err
	}
	if err := d.openLanes(); err != nil {
		return err
	}
	d.joinPeers(gpu)
	return nil
}

// load finds the kernels in the module, and asks for the shared memory of those that need more than
// every kernel may have. Kernels of generations that this GPU does not run are left out.
func (d *Device) load() (err error) {
	module, err := image()
	if err != nil {
		return err
	}
	if d.module, err = cu.LoadData(module); err != nil {
		return fmt.Errorf("cannot load the kernels: %w", err)
	}
	for i, k := range kernels {
		if !d.has(k.only) {
			continue
		}

		if d.kernels[i], err = d.module.Function(k.name); err != nil {
			return fmt.Errorf("cannot find kernel %s: %w", k.name, err)
		}
		if k.shared > sharedAnyway {
			if err := allowShared(d.kernels[i], k.shared); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	return nil
}

// has says whether kernels of a generation may run, "" for those of all.
func (d *Device) has(name string) bool {
	return name == "" || slices.ContainsFunc(d.generations, func(g generation) bool {
		return g.name == name
	})
}

// Name describes the device, for instance "cuda: NVIDIA H100 80GB HBM3, sm_90, v1".
func (d *Device) Name() string { return d.name }

// GoString keeps what prints a device short.
func (d *Device) GoString() string { return d.name }

// Arithmetic names the generation of kernels, and the type of convolutions where that is not the
// default. GPUs with the same one compute the same bits, so a cluster may mix them.
func (d *Device) Arithmetic() string {
	name := "cuda-" + d.generations[0].name
	if d.conv != compute.FP32 {
		name += "-vae-" + d.conv.String()
	}
	return name
}

// Threads returns 0.
func (d *Device) Threads() int { return 0 }

// enter makes the device's context the calling thread's. Every method that calls the driver begins
// with it and ends with leave.
func (d *Device) enter(op string) {
	if d.closed {
		panic(fmt.Sprintf("cuda: %s after Close", op))
	}
	runtime.LockOSThread()
	d.keep(cu.SetCurrentContext(d.ctx))
}

// leave lets the goroutine change threads again.
func (d *Device) leave() { runtime.UnlockOSThread() }

// keep remembers err if it is the first error of the driver. Later ones follow from it: a context
// that has failed once fails every call.
func (d *Device) keep(err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", d.name, err)
	}
}

// failure returns the first error of the driver.
func (d *Device) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// outcome returns why what was issued so far may not be used: the driver's first error, or that
// operations were stopped.
func (d *Device) outcome() error {
	if err := d.failure(); err != nil {
		return err
	}
	return d.stop.Err()
}

// StopWith implements compute.Stoppable: kernels that the GPU has are finished, no others begin.
func (d *Device) StopWith(ctx context.Context) (release func()) { return d.stop.StopWith(ctx) }

// Sync waits until every operation issued so far is done.
func (d *Device) Sync() error {
	d.enter("Sync")
	defer d.leave()
	d.keep(d.stream.Synchronize())
	return d.outcome()
}

// Close waits and frees everything that the device holds. Closing twice is harmless.
func (d *Device) Close() error {
	if d.closed {
		return nil
	}
	d.enter("Close")
	defer d.leave()
	d.closed = true

	// Work ends before the memory that it uses is freed; peers may still copy from it.
	var errs []error
	if d.stream != cu.NoStream {
		errs = append(errs, d.stream.Synchronize(), d.stream.Destroy())
	}
	d.leavePeers()
	for i := range d.lanes {
		errs = append(errs, d.lanes[i].close())
	}
	errs = append(errs, d.events.close(), d.staging.close(), d.memory.close())
	if d.module != (cu.Module{}) {
		errs = append(errs, d.module.Unload())
	}
	return errors.Join(append(errs, d.ctx.Destroy())...)
}

// Alloc returns zeroed memory for n float32 elements.
func (d *Device) Alloc(n int) (compute.Memory, error) {
	d.enter("Alloc")
	defer d.leave()
	const most = 1 << 40 // elements; beyond any GPU, and safe to multiply by 4
	if n < 0 || n > most {
		return nil, fmt.Errorf("cannot allocate %d elements on the GPU: allowed are 0 to %d", n, most)
	}
	m, err := d.take(4 * int64(n))
	if err != nil {
		return nil, err
	}
	m.n = n
	if n > 0 {
		d.keep(cu.MemsetD8Async(m.at, 0, 4*int64(n), d.stream))
	}
	return m, d.failure()
}

// Reserve implements compute.Reserver. Later pieces come from the reserved slab, so a job that has
// begun does not run out of memory.
func (d *Device) Reserve(bytes int64) error {
	d.enter("Reserve")
	defer d.leave()
	if d.failure() != nil {
		return d.failure()
	}
	return d.memory.reserve(bytes)
}

// take returns bytes of memory with whatever is in it, without accounting it to an owner.
func (d *Device) take(bytes int64) (*memory, error) {
	if d.failure() != nil {
		return nil, d.failure()
	}
	m, err := d.memory.take(bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot allocate %d bytes on the GPU: %w", bytes, err)
	}
	return m, nil
}

// Free gives memory back. Freeing twice, or memory of another device kind, panics.
func (d *Device) Free(m compute.Memory) {
	if m == nil {
		return
	}
	d.enter("Free")
	defer d.leave()
	d.keep(d.memory.give(memoryOf("Free", m)))
}
