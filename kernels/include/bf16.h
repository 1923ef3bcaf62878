// bfloat16: the upper half of a float32, rounded to nearest, ties to even.
#pragma once

typedef uint16_t bf16;

DEVICE float widen(bf16 x) { return float_of((uint32_t)x << 16); }

DEVICE bf16 narrow(float x) {
  uint32_t bits = bits_of(x);
  if (x != x) return (bf16)(bits >> 16 | 1 << 6); // NaN stays NaN
  return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

DEVICE float rounded(float x) { return widen(narrow(x)); }

// as_float reads a weight, whatever it is kept in.
DEVICE float as_float(float x) { return x; }
DEVICE float as_float(bf16 x) { return widen(x); }

// pair rounds two numbers, the first to the lower half.
DEVICE uint32_t pair(float low, float high) {
#ifdef __CUDACC__
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return (uint32_t)narrow(high) << 16 | narrow(low);
#endif
}

// Sixteen is 16 bytes: eight numbers in bfloat16.
struct alignas(16) Sixteen {
  uint32_t of[4];
};

// rounded_eight returns 8 numbers of a row from column c on; beyond cols there are zeros.
DEVICE Sixteen rounded_eight(const float* row, i64 c, i64 cols) {
  Sixteen s;
  UNROLL
  for (int i = 0; i < 4; i++) {
    const i64 at = c + 2 * i;
    s.of[i] = pair(at < cols ? row[at] : 0.0f, at + 1 < cols ? row[at + 1] : 0.0f);
  }
  return s;
}
