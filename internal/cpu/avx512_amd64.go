package cpu

// avx512 is the set for AVX-512.
var avx512 = kernels{
	name: "avx512", mr: 12, nr: 32, half: 16, rowsMost: 144, depth: 256,
	gemm: gemm512, transpose: transpose512, finish: finish512,
	soften: soften512, blend: blend512, divide: divide512,
	sum: sum512, squares: squares512, normalise: normalise512, rotate: rotate512,
	peak: peak512,
	bf16: lower{per: 1, gemm: gemm512, soften: softenRounded512, narrow: narrow512,
		widen: widen512, peak: peak512},
}

// avx512bf16 is the set for AVX-512 with its instructions on pairs of bfloat16.
var avx512bf16 = func() kernels {
	k := avx512
	k.name = "avx512bf16"
	k.bf16 = lower{per: 2, gemm: gemmPairs, soften: softenPairs, narrow: narrowPairs,
		peak: peakPairs}
	return k
}()

// gemm512Rows are the micro-kernels of 16 and of 32 columns by rows.
var gemm512Rows = [2]heights{{
	1: gemm1x16AVX512, gemm2x16AVX512, gemm3x16AVX512, gemm4x16AVX512, gemm5x16AVX512,
	gemm6x16AVX512, gemm7x16AVX512, gemm8x16AVX512, gemm9x16AVX512, gemm10x16AVX512,
	gemm11x16AVX512, gemm12x16AVX512,
}, {
	1: gemm1x32AVX512, gemm2x32AVX512, gemm3x32AVX512, gemm4x32AVX512, gemm5x32AVX512,
	gemm6x32AVX512, gemm7x32AVX512, gemm8x32AVX512, gemm9x32AVX512, gemm10x32AVX512,
	gemm11x32AVX512, gemm12x32AVX512,
}}

func gemm512(c []float32, ld, rows, width int, at []*float32, runs, n int, b []float32,
	next beside, add bool) {
	gemm512Rows[width/32].multiply(12, c, ld, rows, width, at, runs, n, b, next, add)
}

func transpose512(dst []float32, stride int, rows []*float32, n int) {
	if n == 0 {
		return
	}
	_ = dst[(n-1)*stride+len(rows)-1]
	for i := 0; i+16 <= len(rows); i += 16 {
		transposeAVX512(&dst[i], stride, &rows[i], n)
	}
}

func finish512(dst, y []float32, rows, n int, f *finishing) {
	if rows*n == 0 {
		return
	}
	o, last := f.operands(rows, n), rows-1
	_, _ = dst[last*f.dstStep+n-1], y[last*f.yStep+n-1]
	finishAVX512(&dst[0], &y[0], rows, n, o.bias, o.mul, o.gate, o.residual, int(f.act),
		f.dstStep, f.yStep, f.mulStep, f.gateStep, f.residStep)
}

func soften512(p []float32, n int, scale float32, bias []float32, at int, s *running) {
	softenAVX512(&p[:n*32][0], n, scale, biasOf(bias, at, n, 32), &s.most[0])
}

func blend512(out, tile []float32, s *running) {
	blendAVX512(&out[0], len(out), &tile[:len(out)][0], &s.shrink[0])
}

func divide512(out []float32, s *running) { divideAVX512(&out[0], len(out), &s.sums[0]) }

func sum512(x []float32) float64 { return sumAVX512(first(x, 0), len(x)) }

func squares512(x []float32, mean float64) float64 {
	return squaresAVX512(first(x, 0), len(x), mean)
}

func normalise512(dst, x []float32, f *normalising) {
	if n := len(dst); n > 0 {
		normaliseAVX512(&dst[0], &x[:n][0], n, f.mean, f.inverse,
			first(f.gain, n), first(f.bias, n), first(f.scale, n), first(f.shift, n))
	}
}

func rotate512(y, cos, sin []float32) {
	if heads := len(y) / (2 * len(cos)); heads > 0 {
		rotateAVX512(&y[0], heads, &cos[0], first(sin, len(cos)), len(cos))
	}
}

func peak512(turns int) float64 {
	if turns > 0 {
		peakAVX512(turns)
	}
	return 2 * 16 * 12
}

func narrow512(dst, x []float32) {
	if n := len(x); n > 0 {
		narrowAVX512(&dst[:n][0], &x[0], n)
	}
}

func widen512(dst []float32, x []uint16) {
	if n := len(dst); n > 0 {
		widenAVX512(&dst[0], &x[:n][0], n)
	}
}

func softenRounded512(p []float32, n int, scale float32, bias []float32, at int,
	s *running) {
	soften512(p, n, scale, bias, at, s)
	narrow512(p, p[:n*32])
}
