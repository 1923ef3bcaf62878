// Package cuda is compute.Device on an NVIDIA GPU: the kernels of kernels/, launched through
// gorgonia.org/cu. The device itself is built with the tag cuda; without it Open says that this
// build has none, and nothing here needs cgo.
//
// # What it does
//
// Every operation is one launch on one stream, in the order of the calls; only Download and Sync
// wait. Copies go beside that, on a stream for each direction. Memory comes from slabs that the
// device keeps; Reserve takes one for a whole job, so that its steps ask the driver for nothing.
// What goes up and down passes through pinned buffers. An error of the driver sticks: Alloc,
// Download and Sync return it from then on.
//
// # Caveats
//
// Sizes of a head go up to 384. A Device locks its goroutine to an operating system thread for the
// length of a call, because the driver's current context belongs to the thread.
package cuda
