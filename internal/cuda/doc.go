// Package cuda is compute.Device on an NVIDIA GPU: the kernels of kernels/, launched through
// gorgonia.org/cu. The device itself is built with the tag cuda; without it Open says that this
// build has none, and nothing here needs cgo.
//
// # What it does
//
// Every operation is one launch on one stream, in the order of the calls; only Download and Sync
// wait. Copies that overlap the computing run on a stream for each direction. Memory comes from
// slabs that the device keeps; Reserve takes one for a whole job, so that its steps ask the driver
// for nothing. What goes up and down passes through pinned buffers. The first error of the driver
// sticks: Alloc, Download and Sync return it from then on.
//
// # Sets of kernels
//
// Products in bfloat16 exist in generations (generation.go): v3 for Hopper, v2 for Ampere and
// newer, v1 for every GPU. Open picks the newest that the GPU runs; Options.Generation or the
// environment variable LONGTAKE_CUDA name another. A generation that lacks a kernel for a width
// leaves it to the next older one. Everything else, float32 included, is v1.
//
// # Adding an operation, or a faster kernel
//
//   - compute.Device (internal/compute/device.go) says what the operation computes; computetest
//     gets a trial with a float64 reference, which TestConformance of this package and of cpu runs.
//   - The kernel is a file of kernels/NAME/, included by kernels/longtake.cu; its README keeps the
//     history of versions. It may use only the words of kernels/include.
//   - launch.go lists it with its threads and shared memory; operations.go checks the arguments and
//     launches it. A faster product is an entry of generations instead.
//   - kernels/mutations gets the mistakes that its tests must find (TestMutations), and
//     "UPDATE=1 make cuda" records its registers in kernels/resources.md.
//   - "make cuda-test" runs all of it on the emulated GPU, "make gpu-test" on a real one.
//
// # Caveats
//
// Heads are up to 384 wide. A Device locks its goroutine to an operating system thread for the
// length of a call, because the driver's current context belongs to the thread.
package cuda
