// Command gen writes the assembly of package cpu with avo (github.com/mmcloughlin/avo): for every
// name in files, NAME_amd64.s and the Go declarations of its functions, NAME_stub_amd64.go. It is
// a module of its own, so that the program depends on avo only where code is generated. Run it with
// "go generate ./internal/cpu"; a test of package cpu holds the committed files to what it writes.
//
// Every function exists for two instruction sets: AVX-512 (F, BW, DQ, VL; 16 lanes) and AVX2 with
// FMA (8 lanes).
package main
