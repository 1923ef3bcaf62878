package cpu

// gemmPairsRows are the micro-kernels of 16 and of 32 columns by rows.
var gemmPairsRows = [2][13]microKernel{{
	1: gemm1x16BF16, gemm2x16BF16, gemm3x16BF16, gemm4x16BF16, gemm5x16BF16,
	gemm6x16BF16, gemm7x16BF16, gemm8x16BF16, gemm9x16BF16, gemm10x16BF16,
	gemm11x16BF16, gemm12x16BF16,
}, {
	1: gemm1x32BF16, gemm2x32BF16, gemm3x32BF16, gemm4x32BF16, gemm5x32BF16,
	gemm6x32BF16, gemm7x32BF16, gemm8x32BF16, gemm9x32BF16, gemm10x32BF16,
	gemm11x32BF16, gemm12x32BF16,
}}

func gemmPairs(c []float32, ld, rows, width int, at []*float32, runs, n int, b []float32,
	add bool) {
	_, _, _ = c[(rows-1)*ld+width-1], at[runs*12-1], b[runs*width*n-1]
	gemmPairsRows[width/32][rows](&c[0], ld, &at[0], runs, n, &b[0], add)
}

func softenPairs(p []float32, scale float32, add []float32, step int, s *running) {
	checkTile(p, 12, add, step)
	softenBF16(&p[0], scale, first(add, 0), step, &s.most[0])
}

func weighPairs(o []float32, ld, width int, p []float32, n int, v []float32, step int, s *running) {
	_, _, _ = o[11*ld+width-1], p[11*keyTile/2+n-1], v[(n-1)*step+width-1]
	at := 0
	for ; at+32 <= width; at += 32 {
		weigh32BF16(&o[at], ld, &p[0], n, &v[at], step, &s.shrink[0])
	}
	if at < width {
		weigh16BF16(&o[at], ld, &p[0], n, &v[at], step, &s.shrink[0])
	}
}

func narrowPairs(dst, x []float32) {
	if n := len(x); n > 0 {
		narrowBF16(&dst[:(n+1)/2][0], &x[0], n)
	}
}

func zipPairs(dst, x, y []float32) {
	if n := len(dst); n > 0 {
		zipBF16(&dst[0], &x[:n][0], &y[:n][0], n)
	}
}

func peakPairs(turns int) float64 {
	if turns > 0 {
		peakBF16(turns)
	}
	return 2 * 32 * 12
}
