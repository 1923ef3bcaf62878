// How tensor cores add. A group of products, exact, and the sum so far are aligned to the largest
// exponent among them; what lies below a number of bits is cut off each; the rest is added without
// an error, and cut off to the bits of the result. The exponent of a product is the sum of those of
// its factors, so it may be one too small.
//
// That it is so was found by M. Fasi, N. Higham, M. Mikaitis and S. Pranesh ("Numerical behavior of
// NVIDIA tensor cores", PeerJ Computer Science, 2021), for Hopper and in all bits by P. Xie, Y. Wang,
// F. Yang and M. Yang ("MMA-Sim", arXiv 2511.10909), from which the numbers of adder_of are.
//
// EMU_ROUNDING is truncate, which is this, or nearest: products are added one by one, each sum
// rounded to the nearest float32.
#include "../include/rounding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "async.h"

namespace emu {

namespace {

typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(64)));
typedef int64_t Longs __attribute__((vector_size(64)));
constexpr int LANES = 8;

// Exponents outside are not modelled: sums may then leave the range of float32, or be infinite.
constexpr int HIGHEST = 100, LOWEST = -90;
// Zero times infinity, or NaN, is NaN: their sum is still beyond HIGHEST.
constexpr int OF_ZERO = -1000, OF_INFINITY = 4000;

int exponent_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const int field = (int)(bits >> 23 & 255);
  if ((bits & 0x7fffffff) == 0) return OF_ZERO;
  return field == 255 ? OF_INFINITY : std::max(field, 1) - 127;
}

// power returns 2^e for exponents of normal numbers.
Floats power(Ints e) { return (Floats)((e + 127) << 23); }

Ints larger(Ints a, Ints b) { return a > b ? a : b; }

// exponents_of returns those of 8 sums.
Ints exponents_of(Floats c) {
  const Ints field = (Ints)c >> 23 & 255;
  const Ints e = field == 0 ? Ints{} + OF_ZERO : field - 127;
  return field == 255 ? Ints{} + OF_INFINITY : e;
}

bool nearest() {
  static const char* const want = getenv("EMU_ROUNDING");
  if (want == nullptr || strcmp(want, "truncate") == 0) return false;
  if (strcmp(want, "nearest") == 0) return true;
  fprintf(stderr, "emulated gpu: EMU_ROUNDING is %s; allowed: truncate, nearest\n", want);
  exit(1);
}

// one_by_one adds products [from, to) to sum j, which also says what becomes of infinities.
void one_by_one(const float* a, const Terms& b, int from, int to, int j, float* sums) {
  for (int k = from; k < to; k++) sums[j] += a[k] * b.of[k * b.n + j];
}

// group adds products [from, to) to sums [j, j+8).
void group(const Adder& how, const float* a, const int* ea, const Terms& b, int from, int to, int j,
           float* sums) {
  const auto term = [&](int k) { return *(const Floats*)&b.of[k * b.n + j] * a[k]; };
  Floats c;
  memcpy(&c, sums + j, sizeof c);
  Ints most = exponents_of(c);
  for (int k = from; k < to; k++)
    most = larger(most, *(const Ints*)&b.exponent[k * b.n + j] + ea[k]);
  const Ints wild = most > HIGHEST;
  most = wild ? Ints{} : larger(most, Ints{} + LOWEST);

  // Terms become whole numbers of the last bit's size; 16 products of bfloat16 just fit.
  const Floats up = power(how.bits - most);
  Ints sum = {};
  for (int k = from; k < to; k++) sum += __builtin_convertvector(term(k) * up, Ints);
  const Doubles all = __builtin_convertvector(sum, Doubles) +
                      __builtin_convertvector(__builtin_convertvector(c * up, Ints), Doubles);

  // Of a float64's 52 bits only those that are kept.
  const Longs kept = (Longs)all & -(1LL << (52 - how.kept));
  c = __builtin_convertvector((Doubles)kept, Floats) * power(most - how.bits);
  for (int i = 0; i < LANES; i++) {
    if (wild[i]) one_by_one(a, b, from, to, j + i, sums);
    else sums[j + i] = c[i];
  }
}

}  // namespace

Adder adder_of(int bytes, bool wgmma) {
  const bool hopper = shape().compute >= 90;
  const int terms = (wgmma || hopper ? 32 : 16) / bytes;  // older GPUs halve an instruction's k
  if (bytes == 1) return {terms, 13, 13};
  return {terms, hopper ? 25 : 24, 23};
}

void exponents(Terms& b, int k) {
  for (int i = 0; i < k * b.n; i++) b.exponent[i] = exponent_of(b.of[i]);
}

void add_products(const Adder& how, const float* a, const Terms& b, int k, float* sums) {
  static const bool plain = nearest();
  for (int j = 0; plain && j < b.n; j++) one_by_one(a, b, 0, k, j, sums);
  if (plain) return;
  int ea[32];
  for (int i = 0; i < k; i++) ea[i] = exponent_of(a[i]);

  for (int from = 0; from < k; from += how.group) {
    const int to = from + how.group;
    for (int j = 0; j < b.n; j += LANES) group(how, a, ea, b, from, to, j, sums);
  }
}

}  // namespace emu
