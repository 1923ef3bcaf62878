// The host's side of tensor cores: how they add. See kernels/emu/rounding.cc.
#pragma once

#include <stdint.h>

namespace emu {

// Adder is how an instruction sums products of two rows.
struct Adder {
  int group;  // products that are added at once, to the sum of those before
  int bits;   // of a term behind the binary point of the largest, the others are cut off
  int kept;   // of the sum behind its own, the others are cut off
};

// adder_of returns that of the GPU at work for products of bfloat16 (bytes is 2) or of E4M3 (1), by
// wgmma, or by a warp.
Adder adder_of(int bytes, bool wgmma);

// Terms is the second operand of products with many rows: k rows of n numbers, n a multiple of 8.
struct Terms {
  int n;
  alignas(32) float of[32 * 256];
  alignas(32) int32_t exponent[32 * 256];
  void set(int k, int j, float x) { of[k * n + j] = x; }
};

// exponents works out those of k rows, once they are set.
void exponents(Terms& b, int k);

// add_products adds a [k] times b [k, n] to sums [n].
void add_products(const Adder& how, const float* a, const Terms& b, int k, float* sums);

}  // namespace emu
