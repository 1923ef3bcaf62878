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

// Four is four numbers side by side, at an address that is a multiple of 16.
struct alignas(16) Four {
  float of[4];
};

// eight_from returns 8 numbers from such an address on, read 16 bytes at a time.
DEVICE Sixteen eight_from(const float* p) {
#ifndef __CUDACC__
  emu::aligned(p, sizeof(Four), "four numbers");
#endif
  const Four a = reinterpret_cast<const Four*>(p)[0], b = reinterpret_cast<const Four*>(p)[1];
  return {{pair(a.of[0], a.of[1]), pair(a.of[2], a.of[3]), pair(b.of[0], b.of[1]),
           pair(b.of[2], b.of[3])}};
}

// rounded_eight returns 8 numbers of a row from column c on; beyond cols there are zeros.
DEVICE Sixteen rounded_eight(const float* row, i64 c, i64 cols) {
  if (c + 8 <= cols && (uint64_t)(row + c) % sizeof(Four) == 0) return eight_from(row + c);
  Sixteen s;
  UNROLL
  for (int i = 0; i < 4; i++) {
    const i64 at = c + 2 * i;
    s.of[i] = pair(at < cols ? row[at] : 0.0f, at + 1 < cols ? row[at + 1] : 0.0f);
  }
  return s;
}
