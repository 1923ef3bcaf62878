package cpu

// gemmPairsRows are the micro-kernels of 16 and of 32 columns by rows.
var gemmPairsRows = [2]heights{{
	1: gemm1x16BF16, gemm2x16BF16, gemm3x16BF16, gemm4x16BF16, gemm5x16BF16,
	gemm6x16BF16, gemm7x16BF16, gemm8x16BF16, gemm9x16BF16, gemm10x16BF16,
	gemm11x16BF16, gemm12x16BF16,
}, {
	1: gemm1x32BF16, gemm2x32BF16, gemm3x32BF16, gemm4x32BF16, gemm5x32BF16,
	gemm6x32BF16, gemm7x32BF16, gemm8x32BF16, gemm9x32BF16, gemm10x32BF16,
	gemm11x32BF16, gemm12x32BF16,
}}

func gemmPairs(c []float32, ld, rows, width int, at []*float32, runs, n int, b []float32,
	next beside, add bool) {
	gemmPairsRows[width/32].multiply(12, c, ld, rows, width, at, runs, n, b, next, add)
}

func softenPairs(p []float32, n int, scale float32, bias []float32, at int, s *running) {
	softenBF16(&p[:n*32][0], n, scale, biasOf(bias, at, n, 32), &s.most[0])
}

func narrowPairs(dst, x []float32) {
	if n := len(x); n > 0 {
		narrowBF16(&dst[:(n+1)/2][0], &x[0], n)
	}
}

func peakPairs(turns int) float64 {
	if turns > 0 {
		peakBF16(turns)
	}
	return 2 * 32 * 12
}
