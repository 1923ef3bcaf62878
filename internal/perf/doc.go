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
package perf
