package cpu

import "unsafe"

// operands are the pointers of a finishing, nil for a step that is left out.
type operands struct{ bias, mul, gate, residual *float32 }

func (f *finishing) operands(rows, n int) operands {
	last := rows - 1
	return operands{first(f.bias, n), first(f.mul, last*f.mulStep+n),
		first(f.gate, last*f.gateStep+n), first(f.residual, last*f.residStep+n)}
}

// first returns a pointer to the first of at least n elements, nil for a nil slice.
func first(v []float32, n int) *float32 {
	if v != nil {
		_ = v[:n]
	}
	return unsafe.SliceData(v)
}

// biasOf returns a pointer to element at, where the bias of the first of n keys begins.
func biasOf(bias []float32, at, n, queries int) *float32 {
	if bias == nil {
		return nil
	}
	return &bias[at-n+1 : at+queries][n-1]
}

// microKernel is a generated function that computes groups of a fixed number of rows and columns.
type microKernel = func(c *float32, ld int, rows **float32, groups, runs, n int, b, row *float32,
	step, panel int, add bool)

// heights are the micro-kernels of a width by their rows.
type heights [13]microKernel

// multiply is kernels.gemm: groups of mr rows, then the rest.
func (h *heights) multiply(mr int, c []float32, ld, rows, width int, at []*float32, runs, n int,
	b []float32, next beside, add bool) {
	groups, rest := rows/mr, rows%mr
	_, _, _ = c[(rows-1)*ld+width-1], at[ceil(rows, mr)*mr*runs-1], b[runs*width*n-1]
	if next.row == nil {
		next.row, next.step = &b[0], 0
	}
	if groups > 0 {
		h[mr](&c[0], ld, &at[0], groups, runs, n, &b[0], next.row, next.step, next.panel, add)
	}
	if rest > 0 {
		h[rest](&c[groups*mr*ld], ld, &at[groups*mr*runs], 1, runs, n, &b[0], next.row, next.step,
			next.panel, add)
	}
}
