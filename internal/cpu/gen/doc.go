// Command gen writes the assembly of package cpu with avo (github.com/mmcloughlin/avo): for every
// name in files, NAME_amd64.s and the Go declarations of its functions, NAME_stub_amd64.go. It is
// a module of its own, so that the program depends on avo only where code is generated. Run it with
// "go generate ./internal/cpu"; a test of package cpu compares the committed files with what it
// writes.
//
// Every function exists for two instruction sets: AVX-512 (F, BW, DQ, VL; 16 lanes) and AVX2 with
// FMA (8 lanes); those that multiply exist for AVX512_BF16 as well. One body serves all sets: a
// maker knows the lanes, and hands out registers without limit, which avo assigns when the file is
// complete. What differs between sets is asked of the maker, never of the caller.
//
// # Reading the bodies
//
// Operands are in the order of Go's assembler, destination last. Parameters are loaded where they
// are first needed and reloaded in loops instead of held, because the micro-kernels use every
// register there is. Functions touch no stack but their frame, call nothing and end with
// VZEROUPPER.
package main
