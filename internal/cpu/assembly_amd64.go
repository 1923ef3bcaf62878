package cpu

import (
	"unsafe"

	"github.com/longtake/longtake/internal/compute"
)

// assembly is the functions that gen wrote for one instruction set. Its methods are what the set's
// kernels hold: each checks the lengths of its slices once, since assembly checks nothing, and
// passes pointers on. Calls through the table escape their pointers, so callers keep what they
// point at in a worker instead of on the stack.
type assembly struct {
	lanes int // float32 in a vector; a panel has two vectors of columns, half a panel has one

	transpose func(dst *float32, stride int, rows **float32, n int)
	finish    func(dst, y *float32, rows, n int, bias, mul, gate, residual *float32, act, dstStep,
		yStep, mulStep, gateStep, residStep int)
	blend     func(out *float32, n int, tile, shrink *float32)
	divide    func(out *float32, n int, sums *float32)
	sum       func(x *float32, n int) float64
	squares   func(x *float32, n int, mean float64) float64
	normalise func(dst, x *float32, n int, mean, inverse float64, gain, bias, scale, shift *float32)
	rotate    func(y *float32, heads int, cos, sin *float32, half int)

	arithmetic // of float32
}

// arithmetic is how an instruction set multiplies operands of one type, and what attention needs
// around that.
type arithmetic struct {
	// gemm holds the micro-kernels for half a panel's columns, then those for a whole one's.
	gemm    [2]heights
	mr      int // rows of the tallest of them
	nr      int // columns of a whole panel
	softmax func(p *float32, n int, scale float32, bias, s *float32)
	narrow  func(dst, x *float32, n int)
	widen   func(dst *float32, x *uint16, n int)
	// peak does turns of a loop of multiply-adds, each of which has peakOps operations.
	peak    func(turns int)
	peakOps float64
}

// kernels returns the table of the set. Weights in bfloat16 are widened, and multiplied as float32.
func (a *assembly) kernels(name string, rowsMost, depth int) kernels {
	return kernels{
		name: name, mr: a.mr, nr: a.nr, half: a.lanes, rowsMost: rowsMost, depth: depth,
		gemm: a.multiply, transpose: a.transposeRows, finish: a.finishRows,
		softmax: a.softmaxTile, blend: a.blendTile, divide: a.divideOut,
		sum: a.sumRow, squares: a.squaresRow, normalise: a.normaliseRow, rotate: a.rotateRow,
		peak: a.runPeak,
		bf16: bf16Kernels{per: 1, gemm: a.multiply, softmax: a.roundedSoftmaxTile,
			narrow: a.narrowRow, peak: a.runPeak},
		widen: a.widenRow,
	}
}

// pairs returns the table of an arithmetic that multiplies pairs of bfloat16.
func (a *arithmetic) pairs() bf16Kernels {
	return bf16Kernels{per: 2, gemm: a.multiply, softmax: a.softmaxTile, narrow: a.narrowPairs,
		peak: a.runPeak}
}

// microKernel is a generated function that computes groups of a fixed number of rows and columns.
type microKernel = func(c *float32, ld int, rows **float32, groups, runs, n int, b, row *float32,
	step, panel int, add bool)

// heights are the micro-kernels of one width by their rows.
type heights [13]microKernel

// multiply is kernels.gemm: whole groups of mr rows in one call, then the rows that are left.
func (a *arithmetic) multiply(c []float32, ld, rows, width int, at []*float32, runs, n int,
	b []float32, next prefetch, add bool) {
	mr := a.mr
	groups, rest := rows/mr, rows%mr
	_, _, _ = c[(rows-1)*ld+width-1], at[ceil(rows, mr)*mr*runs-1], b[runs*width*n-1]
	if next.row == nil { // the kernel always prefetches; what it reads already is free
		next.row, next.step = &b[0], 0
	}

	byRows := &a.gemm[width/a.nr]
	if groups > 0 {
		byRows[mr](&c[0], ld, &at[0], groups, runs, n, &b[0], next.row, next.step, next.panel, add)
	}
	if rest > 0 {
		byRows[rest](&c[groups*mr*ld], ld, &at[groups*mr*runs], 1, runs, n, &b[0], next.row,
			next.step, next.panel, add)
	}
}

// first returns a pointer to the first of at least n elements, nil for a nil slice.
func first(v []float32, n int) *float32 {
	if v != nil {
		_ = v[:n]
	}
	return unsafe.SliceData(v)
}

// transposeRows is kernels.transpose, a vector of rows at a time.
func (a *assembly) transposeRows(dst []float32, stride int, rows []*float32, n int) {
	if n == 0 {
		return
	}
	_ = dst[(n-1)*stride+len(rows)-1]
	for i := 0; i+a.lanes <= len(rows); i += a.lanes {
		a.transpose(&dst[i], stride, &rows[i], n)
	}
}

// finishRows is kernels.finish. The assembly has all activations but GELU.
func (a *assembly) finishRows(dst, y []float32, rows, n int, f *finishing) {
	if rows*n == 0 {
		return
	}
	if f.act == compute.GELU {
		finishGeneric(dst, y, rows, n, f)
		return
	}
	last := rows - 1
	_, _ = dst[last*f.dstStep+n-1], y[last*f.yStep+n-1]
	a.finish(&dst[0], &y[0], rows, n, first(f.bias, n), first(f.mul, last*f.mulStep+n),
		first(f.gate, last*f.gateStep+n), first(f.residual, last*f.residStep+n), int(f.act),
		f.dstStep, f.yStep, f.mulStep, f.gateStep, f.residStep)
}

// softmaxTile is kernels.softmax. The assembly takes a pointer to the bias of the first of n keys;
// those of the others lie before it.
func (a *arithmetic) softmaxTile(p []float32, n int, scale float32, bias []float32, at int,
	s *running) {
	var firstKey *float32
	if bias != nil {
		firstKey = &bias[at-n+1 : at+a.nr][n-1]
	}
	a.softmax(&p[:n*a.nr][0], n, scale, firstKey, &s.most[0])
}

// roundedSoftmaxTile is softmaxTile with probabilities rounded to bfloat16, each in a float32.
func (a *arithmetic) roundedSoftmaxTile(p []float32, n int, scale float32, bias []float32, at int,
	s *running) {
	a.softmaxTile(p, n, scale, bias, at, s)
	a.narrowRow(p, p[:n*a.nr])
}

// blendTile is kernels.blend.
func (a *assembly) blendTile(out, tile []float32, s *running) {
	a.blend(&out[0], len(out), &tile[:len(out)][0], &s.shrink[0])
}

// divideOut is kernels.divide.
func (a *assembly) divideOut(out []float32, s *running) { a.divide(&out[0], len(out), &s.sums[0]) }

// sumRow is kernels.sum.
func (a *assembly) sumRow(x []float32) float64 { return a.sum(first(x, 0), len(x)) }

// squaresRow is kernels.squares.
func (a *assembly) squaresRow(x []float32, mean float64) float64 {
	return a.squares(first(x, 0), len(x), mean)
}

// normaliseRow is kernels.normalise.
func (a *assembly) normaliseRow(dst, x []float32, f *normalising) {
	if n := len(dst); n > 0 {
		a.normalise(&dst[0], &x[:n][0], n, f.mean, f.inverse,
			first(f.gain, n), first(f.bias, n), first(f.scale, n), first(f.shift, n))
	}
}

// rotateRow is kernels.rotate.
func (a *assembly) rotateRow(y, cos, sin []float32) {
	if heads := len(y) / (2 * len(cos)); heads > 0 {
		a.rotate(&y[0], heads, &cos[0], first(sin, len(cos)), len(cos))
	}
}

// runPeak is kernels.peak.
func (a *arithmetic) runPeak(turns int) float64 {
	if turns > 0 {
		a.peak(turns)
	}
	return a.peakOps
}

// narrowRow rounds x to bfloat16, each in a float32.
func (a *arithmetic) narrowRow(dst, x []float32) {
	if n := len(x); n > 0 {
		a.narrow(&dst[:n][0], &x[0], n)
	}
}

// narrowPairs rounds x to bfloat16, two in a float32; a last one without a partner gets a zero.
func (a *arithmetic) narrowPairs(dst, x []float32) {
	if n := len(x); n > 0 {
		a.narrow(&dst[:(n+1)/2][0], &x[0], n)
	}
}

// widenRow turns bfloat16 in two bytes into float32; their number is a multiple of lanes.
func (a *arithmetic) widenRow(dst []float32, x []uint16) {
	if n := len(dst); n > 0 {
		a.widen(&dst[0], &x[:n][0], n)
	}
}
