// E4M3: a sign, four bits of an exponent, three of a mantissa; up to 448, with NaN and no infinity.
// Panels of it are as those of bfloat16 (panels.h), of 128 columns.
#pragma once

#include "panels.h"

namespace fp8 {

constexpr int COLS = 128;            // of a panel
constexpr int PIECE = 16;            // columns of 16 bytes
constexpr int PIECES = COLS / PIECE; // of a row of a panel
constexpr int STEP = 32;             // columns of a product

#ifndef __CUDACC__
// e4m3 rounds x to the nearest number, ties to even, and what is larger to 448.
DEVICE uint32_t e4m3(float x) {
  const uint32_t bits = bits_of(x), sign = bits >> 24 & 128, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 127;
  if (magnitude < 121u << 23) { // subnormal numbers: multiples of 2^-9, below 2^-6
    const float shift = 24576.0f;
    return sign | (uint32_t)((float_of(magnitude) + shift - shift) * 512.0f);
  }
  const uint32_t code = ((magnitude + 0x7ffff + (magnitude >> 20 & 1)) >> 20) - (120 << 3);
  return sign | (code < 126 ? code : 126);
}
#endif

// four rounds four numbers, the first to the lowest byte.
DEVICE uint32_t four(float a, float b, float c, float d) {
#ifdef __CUDACC__
  uint32_t r;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high};\n"
      "}"
      : "=r"(r)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return r;
#else
  return e4m3(a) | e4m3(b) << 8 | e4m3(c) << 16 | e4m3(d) << 24;
#endif
}

// panel describes 32 columns of a panel, from column k on.
DEVICE uint64_t panel(uint32_t at, int k) { return wgmma::panel(at, k / 2); }

// multiply begins sums = a·bᵀ, or sums += a·bᵀ, of [64, 32] and [128, 32] numbers in shared memory.
// The sums of products have 13 bits behind the point of the largest term: see kernels/emu.
DEVICE void multiply(wgmma::Sums<128>& sums, uint64_t a, uint64_t b, bool add) {
#ifdef __CUDACC__
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" TEXT64
               "}, %64, %65, add, 1, 1;\n}"
               : SUMS64(sums.of, 0)
               : "l"(a), "l"(b), "r"((int)add));
#else
  emu::wgmma({sums.of, &sums.use, 128, add, nullptr, nullptr, a, b, 1});
#endif
}

}  // namespace fp8
