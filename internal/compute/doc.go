// Package compute is the port between models and the hardware that runs them: a Device offers the
// dozen fused operations that the text encoder, the transformer and the VAE are written in.
//
// # Contract of every Device
//
// Activations are float32 matrices, one token, pixel or voxel per row. A row's bits depend on that
// row's inputs alone: never on how many rows the call has, nor on the thread or the tile that
// computed it. Sums over K run in one fixed order; attention visits keys in order, in tiles of a
// fixed size. Package computetest holds the conformance suite that says so in code.
//
// Operations may run asynchronously, in the order of the calls; Download and Sync wait. A Device is
// used by one goroutine at a time. A wrong shape is a programming error and panics; what the
// hardware refuses (memory, a lost device) comes back from Alloc, Download and Sync.
//
// # Optional interfaces
//
// Device holds what every device must do. What only some can do is an interface of its own, which a
// caller asks for by type assertion and does without where it is missing: HostMemory, Copier,
// StoredPacker, FileBinder, Packer, Dropper, Reserver, Workspace, Rounder, Stoppable,
// FiniteObserver. A new ability becomes another one of these, so that Device does not grow.
package compute
