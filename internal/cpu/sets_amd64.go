package cpu

// avx2 is the set for AVX2 with FMA: vectors of 8 lanes, 16 registers, so 6 x 16 sums at once.
var avx2 = assemblyAVX2.kernels("avx2", 96, 512)

// avx512 is the set for AVX-512: vectors of 16 lanes, 32 registers, so 12 x 32 sums at once.
var avx512 = assemblyAVX512.kernels("avx512", 144, 256)

// avx512bf16 is avx512 with the instructions that multiply pairs of bfloat16.
var avx512bf16 = func() kernels {
	k := avx512
	k.name = "avx512bf16"
	k.bf16 = arithmeticBF16.pairs()
	return k
}()

var assemblyAVX2 = &assembly{
	lanes:     8,
	transpose: transposeAVX2, finish: finishAVX2, blend: blendAVX2, divide: divideAVX2,
	sum: sumAVX2, squares: squaresAVX2, normalise: normaliseAVX2, rotate: rotateAVX2,
	arithmetic: arithmetic{
		gemm: [2]heights{{
			1: gemm1x8AVX2, gemm2x8AVX2, gemm3x8AVX2, gemm4x8AVX2, gemm5x8AVX2, gemm6x8AVX2,
		}, {
			1: gemm1x16AVX2, gemm2x16AVX2, gemm3x16AVX2, gemm4x16AVX2, gemm5x16AVX2, gemm6x16AVX2,
		}},
		mr: 6, nr: 16, softmax: softmaxAVX2, narrow: narrowAVX2, widen: widenAVX2,
		peak: peakAVX2, peakOps: 2 * 8 * 12, // 12 fused multiply-adds of a vector
	},
}

var assemblyAVX512 = &assembly{
	lanes:     16,
	transpose: transposeAVX512, finish: finishAVX512, blend: blendAVX512, divide: divideAVX512,
	sum: sumAVX512, squares: squaresAVX512, normalise: normaliseAVX512, rotate: rotateAVX512,
	arithmetic: arithmetic{
		gemm: [2]heights{{
			1: gemm1x16AVX512, gemm2x16AVX512, gemm3x16AVX512, gemm4x16AVX512, gemm5x16AVX512,
			gemm6x16AVX512, gemm7x16AVX512, gemm8x16AVX512, gemm9x16AVX512, gemm10x16AVX512,
			gemm11x16AVX512, gemm12x16AVX512,
		}, {
			1: gemm1x32AVX512, gemm2x32AVX512, gemm3x32AVX512, gemm4x32AVX512, gemm5x32AVX512,
			gemm6x32AVX512, gemm7x32AVX512, gemm8x32AVX512, gemm9x32AVX512, gemm10x32AVX512,
			gemm11x32AVX512, gemm12x32AVX512,
		}},
		mr: 12, nr: 32, softmax: softmaxAVX512, narrow: narrowAVX512, widen: widenAVX512,
		peak: peakAVX512, peakOps: 2 * 16 * 12,
	},
}

// arithmeticBF16 is that of AVX512_BF16: VDPBF16PS adds the products of 16 pairs to 16 sums.
var arithmeticBF16 = &arithmetic{
	gemm: [2]heights{{
		1: gemm1x16BF16, gemm2x16BF16, gemm3x16BF16, gemm4x16BF16, gemm5x16BF16,
		gemm6x16BF16, gemm7x16BF16, gemm8x16BF16, gemm9x16BF16, gemm10x16BF16,
		gemm11x16BF16, gemm12x16BF16,
	}, {
		1: gemm1x32BF16, gemm2x32BF16, gemm3x32BF16, gemm4x32BF16, gemm5x32BF16,
		gemm6x32BF16, gemm7x32BF16, gemm8x32BF16, gemm9x32BF16, gemm10x32BF16,
		gemm11x32BF16, gemm12x32BF16,
	}},
	mr: 12, nr: 32, softmax: softmaxBF16, narrow: narrowBF16,
	peak: peakBF16, peakOps: 2 * 32 * 12,
}
