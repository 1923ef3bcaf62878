// Package cpu is the Device that runs on the host's processor, in portable Go.
//
// # How it works
//
// Linear, Conv and Attention share one micro-kernel that multiplies a packed panel of mr rows by a
// packed panel of nr columns (the layout of Goto and van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication", 2008). Weights are packed once; rows are packed per tile, and a
// convolution only differs in how it gathers them. Attention walks keys in tiles with a running
// softmax (Milakov and Gimelshein, 2018; Dao et al., "FlashAttention", 2022), so the matrix of
// scores never exists.
//
// # Bits
//
// Every sum runs over k in ascending order, one float32 multiplication and one float32 addition per
// step, never fused; edges of a matrix go through the same kernel on zero-padded panels. So an
// element's bits depend on its row and column alone, and are the same on every architecture.
//
// # Threads
//
// A Device has a fixed set of workers; the calling goroutine is one of them. Operations split into
// tiles that idle workers take one by one, and return when the last tile is done: Sync and Download
// have nothing to wait for.
package cpu
