// Package perf predicts what clips take of devices that need not be at hand: how long each stage
// lasts, what limits it, what travels, and what memory a shard needs. It is pure.
//
// A [Device] is what a data sheet says of a GPU or a CPU, or what was measured on one. A [Profile]
// is a program: how much of a device's peak its kernels reach, and what its ranks wait for. A
// [Pool] says where devices are and what lies between them. [Predict] brings these together with a
// model and a clip.
//
// # How it is computed
//
// Everything is counted in floating-point operations and bytes. A multiplication and an addition
// are two operations, as data sheets and [job.Cost] have it. Of a rank with n of N tokens and h of
// H heads, a pass takes
//
//	linear     12·n·d² + 4·n·d·f operations in each layer, / (peak · efficiency)
//	attention  4·n·N·d·h/H·N/n, likewise
//	memory     bytes that norms, rotations and sums move for each value, / bandwidth
//
// Tiles of 128 tokens go to the units of a device in waves, of which the last one is half full on
// average, so that little work for each unit is less efficient. What ranks send each other, and
// what of that is hidden, is package topology's.
//
// # Measured CPUs
//
// A CPU that was measured has more parts, as models for CPUs are small, and each of them shows:
//
//	scores     n·N·h/H for each head, each as so many operations of attention
//	weights    6·d² + 2·d·f of each layer, as so many bytes that a pass moves for each
//	layers     each takes a while, whatever its size
//	messages   ten to and from each other rank of a group in each layer, of the CPU's time
//	bytes      likewise, of those that a rank sends and receives
//	frames     of the decoder: the first latent frame is a part of another one; what it holds of a
//	           frame is moved so many times
//
// They are found by [Fit] from times of passes and decodings, but messages and bytes, which follow
// from clips. The ranks of a host share its cores: each has its part of all that the machine
// reaches, by efficiencies between those of one rank on all cores and of a rank on each. Where
// there are more ranks than cores, what does not scale with work is done by turns.
package perf
