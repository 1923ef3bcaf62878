package cpu

// avx2 is the set for AVX2 with FMA.
var avx2 = kernels{
	name: "avx2", mr: 6, nr: 16, half: 8, rowsMost: 96, depth: 512,
	gemm: gemm256, transpose: transpose256, finish: finish256,
	soften: soften256, blend: blend256, divide: divide256,
	sum: sum256, squares: squares256, normalise: normalise256, rotate: rotate256,
	peak: peak256,
	bf16: lower{per: 1, gemm: gemm256, soften: softenRounded256, narrow: narrow256,
		widen: widen256, peak: peak256},
}

// gemm256Rows are the micro-kernels of 8 and of 16 columns by rows.
var gemm256Rows = [2]heights{{
	1: gemm1x8AVX2, gemm2x8AVX2, gemm3x8AVX2, gemm4x8AVX2, gemm5x8AVX2, gemm6x8AVX2,
}, {
	1: gemm1x16AVX2, gemm2x16AVX2, gemm3x16AVX2, gemm4x16AVX2, gemm5x16AVX2, gemm6x16AVX2,
}}

func gemm256(c []float32, ld, rows, width int, at []*float32, runs, n int, b []float32,
	next beside, add bool) {
	gemm256Rows[width/16].multiply(6, c, ld, rows, width, at, runs, n, b, next, add)
}

func transpose256(dst []float32, stride int, rows []*float32, n int) {
	if n == 0 {
		return
	}
	_ = dst[(n-1)*stride+len(rows)-1]
	for i := 0; i+8 <= len(rows); i += 8 {
		transposeAVX2(&dst[i], stride, &rows[i], n)
	}
}

func finish256(dst, y []float32, rows, n int, f *finishing) {
	if rows*n == 0 {
		return
	}
	o, last := f.operands(rows, n), rows-1
	_, _ = dst[last*f.dstStep+n-1], y[last*f.yStep+n-1]
	finishAVX2(&dst[0], &y[0], rows, n, o.bias, o.mul, o.gate, o.residual, int(f.act),
		f.dstStep, f.yStep, f.mulStep, f.gateStep, f.residStep)
}

func soften256(p []float32, n int, scale float32, bias []float32, at int, s *running) {
	softenAVX2(&p[:n*16][0], n, scale, biasOf(bias, at, n, 16), &s.most[0])
}

func blend256(out, tile []float32, s *running) {
	blendAVX2(&out[0], len(out), &tile[:len(out)][0], &s.shrink[0])
}

func divide256(out []float32, s *running) { divideAVX2(&out[0], len(out), &s.sums[0]) }

func sum256(x []float32) float64 { return sumAVX2(first(x, 0), len(x)) }

func squares256(x []float32, mean float64) float64 {
	return squaresAVX2(first(x, 0), len(x), mean)
}

func normalise256(dst, x []float32, f *normalising) {
	if n := len(dst); n > 0 {
		normaliseAVX2(&dst[0], &x[:n][0], n, f.mean, f.inverse,
			first(f.gain, n), first(f.bias, n), first(f.scale, n), first(f.shift, n))
	}
}

func rotate256(y, cos, sin []float32) {
	if heads := len(y) / (2 * len(cos)); heads > 0 {
		rotateAVX2(&y[0], heads, &cos[0], first(sin, len(cos)), len(cos))
	}
}

func peak256(turns int) float64 {
	if turns > 0 {
		peakAVX2(turns)
	}
	return 2 * 8 * 12
}

func narrow256(dst, x []float32) {
	if n := len(x); n > 0 {
		narrowAVX2(&dst[:n][0], &x[0], n)
	}
}

func widen256(dst []float32, x []uint16) {
	if n := len(dst); n > 0 {
		widenAVX2(&dst[0], &x[:n][0], n)
	}
}

func softenRounded256(p []float32, n int, scale float32, bias []float32, at int,
	s *running) {
	soften256(p, n, scale, bias, at, s)
	narrow256(p, p[:n*16])
}
