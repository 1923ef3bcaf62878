package cpu

// narrow is the set for AVX2 with FMA.
var narrow = kernels{
	name: "avx2", mr: 6, nr: 16, half: 8, rowsMost: 96, depth: 512,
	gemm: gemmNarrow, transpose: transposeNarrow, finish: finishNarrow,
	soften: softenNarrow, weigh: weighNarrow, divide: divideNarrow,
	sum: sumNarrow, squares: squaresNarrow, normalise: normaliseNarrow, rotate: rotateNarrow,
	peak: peakNarrow,
}

// gemmNarrowRows are the micro-kernels of 8 and of 16 columns by rows.
var gemmNarrowRows = [2][7]microKernel{{
	1: gemm1x8AVX2, gemm2x8AVX2, gemm3x8AVX2, gemm4x8AVX2, gemm5x8AVX2, gemm6x8AVX2,
}, {
	1: gemm1x16AVX2, gemm2x16AVX2, gemm3x16AVX2, gemm4x16AVX2, gemm5x16AVX2, gemm6x16AVX2,
}}

func gemmNarrow(c []float32, ld, rows, width int, at []*float32, n int, b []float32, add bool) {
	runs := len(b) / (width * n)
	_, _, _ = c[(rows-1)*ld+width-1], at[runs*6-1], b[runs*width*n-1]
	gemmNarrowRows[width/16][rows](&c[0], ld, &at[0], runs, n, &b[0], add)
}

func transposeNarrow(dst []float32, stride int, rows []*float32, n int) {
	if n == 0 {
		return
	}
	_ = dst[(n-1)*stride+len(rows)-1]
	for i := 0; i+8 <= len(rows); i += 8 {
		transposeAVX2(&dst[i], stride, &rows[i], n)
	}
}

func finishNarrow(dst, y []float32, f *finishing) {
	if len(dst) == 0 {
		return
	}
	o := f.operands(len(dst))
	finishAVX2(&dst[0], &y[:len(dst)][0], len(dst), o.bias, o.mul, o.gate, o.residual, int(f.act))
}

func softenNarrow(p []float32, n int, scale float32, add []float32, step int, s *running) {
	vecs := checkTile(p, 6, n, 8, add, step)
	softenAVX2(&p[0], vecs, scale, first(add, 0), step, &s.most[0])
}

func weighNarrow(o []float32, ld, width int, p []float32, n int, v []float32, step int,
	s *running) {
	_, _, _ = o[5*ld+width-1], p[5*keyTile+n-1], v[(n-1)*step+width-1]
	at := 0
	for ; at+16 <= width; at += 16 {
		weigh16AVX2(&o[at], ld, &p[0], n, &v[at], step, &s.shrink[0])
	}
	if at < width {
		weigh8AVX2(&o[at], ld, &p[0], n, &v[at], step, &s.shrink[0])
	}
}

func divideNarrow(dst, y []float32, by float32) {
	divideAVX2(&dst[0], &y[:len(dst)][0], len(dst), by)
}

func sumNarrow(x []float32) float64 { return sumAVX2(first(x, 0), len(x)) }

func squaresNarrow(x []float32, mean float64) float64 {
	return squaresAVX2(first(x, 0), len(x), mean)
}

func normaliseNarrow(dst, x []float32, f *normalising) {
	if n := len(dst); n > 0 {
		normaliseAVX2(&dst[0], &x[:n][0], n, f.mean, f.inverse,
			first(f.gain, n), first(f.bias, n), first(f.scale, n), first(f.shift, n))
	}
}

func rotateNarrow(y, cos, sin []float32) {
	if heads := len(y) / (2 * len(cos)); heads > 0 {
		rotateAVX2(&y[0], heads, &cos[0], first(sin, len(cos)), len(cos))
	}
}

func peakNarrow(turns int) float64 {
	if turns > 0 {
		peakAVX2(turns)
	}
	return 2 * 8 * 12
}
