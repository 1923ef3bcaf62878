package cpu

import (
	"fmt"
	"os"
)

// kernels is a set of micro-kernels and the tile they work on. A faster set for one architecture
// keeps the contract: the same bits as the generic one.
type kernels struct {
	name   string
	mr, nr int
	// gemm computes the tile c [mr, nr], rows ld apart: c = a·b, or c += a·b when add is set.
	// a holds mr values per step of k, b holds nr; k ascends, nothing is fused.
	gemm func(c []float32, ld int, a, b []float32, add bool)
	// interleave writes rows[i][k] to dst[k*mr+i] for the mr rows, all of the length of rows[0].
	interleave func(dst []float32, rows [][]float32)
}

// generic is the set in plain Go.
var generic = kernels{name: "generic", mr: 4, nr: 2, gemm: gemm4x2, interleave: interleave4}

// chooseKernels picks the set for this machine, or the one that LONGTAKE_CPU names.
func chooseKernels() (kernels, error) {
	switch v := os.Getenv("LONGTAKE_CPU"); v {
	case "", "generic":
		return generic, nil
	default:
		return kernels{}, fmt.Errorf("LONGTAKE_CPU is %q, allowed is generic", v)
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
