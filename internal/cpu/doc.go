// Package cpu is the Device that runs on the host's processor: in assembly on amd64, in portable Go
// everywhere else.
//
// # How it works
//
// Linear, Conv and Attention share one micro-kernel that multiplies mr rows by a packed panel of nr
// columns (after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication",
// 2008). Weights are packed once. Rows are read where they lie, through a pointer per row, so a
// convolution is a product whose pointers change from tap to tap, and neither gathers nor pads
// anything. Attention visits keys in tiles with a running softmax (Milakov and Gimelshein, 2018;
// Dao et al., "FlashAttention", 2022), so the matrix of scores never exists; queries are its
// columns.
//
// # Sets of kernels
//
// What depends on the instruction set is a table of functions, of type kernels. There are
// avx512bf16, avx512, avx2 (written by the generator in gen) and generic (plain Go). New uses the
// best one that the machine runs; the environment variable LONGTAKE_CPU forces one.
//
// Products in bfloat16 take both inputs rounded and add in float32. avx512bf16 multiplies pairs of
// them, on AMD's cores at twice the speed of float32, on Intel's at half of it, where avx512 is
// preferred. The other sets keep weights in two bytes, widen a panel when they use it, and multiply
// as float32. So do all sets, for products in float32, with weights that are bfloat16 in their
// file.
//
// # Adding an operation, or changing one
//
//   - compute.Device (internal/compute/device.go) says what it computes; computetest gets a trial
//     with a float64 reference, and runs it in TestConformance of this package and of cuda.
//   - Row by row (a norm, an elementwise function): a method in norm.go or elementwise.go that
//     fills a rowwise. A product: a source in the manner of conv.go, for multiply in gemm.go.
//   - Where it needs a new inner loop: a field of kernels (kernels.go), the plain version in
//     generic.go, the vector version in gen with a wrapper in assembly_amd64.go, "go generate", and
//     a twin in kernels_test.go, which holds each set to generic.
//   - Another instruction set: a table in sets_amd64.go and an entry of candidates
//     (kernels_amd64.go) that says what the machine must have.
//
// # Bits
//
// Every sum runs over k in ascending order with one fixed way to round, and rows and columns at the
// edges go through the same steps. So within a set an element's bits depend on its row and column
// alone. Sets differ from each other by rounding: assembly fuses multiplications and additions,
// generic never does and is the same on every architecture.
//
// # Threads
//
// A Device has a fixed set of workers; the calling goroutine is one of them. Operations split into
// tasks. A worker begins with the same part of every operation, then takes tasks of the others. The
// operation returns when the last task is done, so Sync and Download have nothing to wait for.
package cpu
