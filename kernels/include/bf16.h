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
