// How kernels on tensor cores finish: sums go from the registers that products leave them in
// through the epilogue to memory. In the fragments of mma and of wgmma a thread has pairs of
// neighbouring columns, and four lanes have eight columns of a row, so that a load or a store of a
// warp moves whole sectors of 32 bytes. A thread takes a row's pairs of 64 columns together: what
// the epilogue reads for them is all under way before the first of it is used. See README.md.
//
// Where the result goes is the parameter Out of finish, a struct like Floats:
//
//   bool paired(i64 first) const;   whether put<true> may be called for columns from `first` on
//   void put<WHOLE>(const float (&y)[2 * PAIRS], i64 row, const Columns<WHOLE>& at) const;
//
// Lanes 4i to 4i+3 of a warp come to put together, with the same row, and their pairs are columns
// [at.first - 2·(lane % 4), + 64): all of a row of a panel, if the tile begins where panels do.
// Rows are there; of columns those for which at.has(c), all of them with WHOLE.
#pragma once

#include "../include/pairs.h"
#include "epilogue.h"

namespace linear {

constexpr int PAIRS = 8;          // of a row that a thread finishes at a time, 8 columns apart
constexpr int SLAB = 4 * PAIRS;   // a thread's sums of 16 rows and 64 columns: [4p + 2i + c] is row
                                  // lane/4 + 8i, column 8p + 2·(lane%4) + c
constexpr int ANY_ACT = -1;

// Step says whether an epilogue has a step: where this is known when a kernel is compiled, nothing
// asks for it later.
enum Step { NEVER, ALWAYS, MAYBE };

// Kind is what is known of an epilogue. Every kind may have a bias.
template <int ACT_, Step MUL_, Step GATE_, Step RESIDUAL_> struct Kind {
  static constexpr int ACT = ACT_;
  static constexpr Step MUL = MUL_, GATE = GATE_, RESIDUAL = RESIDUAL_;
};

// The kinds that most of a model's time goes through, and the one that does everything. They
// compute the same, to the last bit.
typedef Kind<ANY_ACT, MAYBE, MAYBE, MAYBE> Any;
typedef Kind<IDENTITY, NEVER, NEVER, NEVER> Plain;      // q, k, v
typedef Kind<GELU_TANH, NEVER, NEVER, NEVER> Active;    // into a feed-forward
typedef Kind<IDENTITY, NEVER, NEVER, ALWAYS> Residual;  // out of cross-attention
typedef Kind<IDENTITY, NEVER, ALWAYS, ALWAYS> Gated;    // out of self-attention and feed-forward

template <Step S> DEVICE bool has(const float* operand) {
  return S == ALWAYS || (S == MAYBE && operand != nullptr);
}

// Columns is where a thread's pairs lie in rows of `count` columns: at first, first + 8, and so on.
// WHOLE: all of them are there, and at addresses of pairs.
template <bool WHOLE> struct Columns {
  i64 first, count;

  DEVICE_MEMBER bool has(i64 c) const { return c >= 0 && c < count; }

  // get reads the pairs of a row. What is not there becomes zeros.
  DEVICE_MEMBER void get(float (&to)[2 * PAIRS], const float* row) const {
    UNROLL
    for (int p = 0; p < PAIRS; p++) {
      const i64 c = first + 8 * p;
      if constexpr (WHOLE) {
        const Two two = read_two(row + c);
        to[2 * p] = two.x, to[2 * p + 1] = two.y;
      } else {
        to[2 * p] = has(c) ? row[c] : 0.0f;
        to[2 * p + 1] = has(c + 1) ? row[c + 1] : 0.0f;
      }
    }
  }
};

// Floats is an output in float32: [n, out], rows ld apart.
struct Floats {
  float* dst;
  i64 ld;

  DEVICE_MEMBER bool paired(i64) const { return (uint64_t)dst % 8 == 0 && ld % 2 == 0; }

  template <bool WHOLE>
  DEVICE_MEMBER void put(const float (&y)[2 * PAIRS], i64 row, const Columns<WHOLE>& at) const {
    float* to = dst + row * ld;
    UNROLL
    for (int p = 0; p < PAIRS; p++) {
      const i64 c = at.first + 8 * p;
      if constexpr (WHOLE) {
        write_two(to + c, {y[2 * p], y[2 * p + 1]});
      } else {
        if (at.has(c)) to[c] = y[2 * p];
        if (at.has(c + 1)) to[c + 1] = y[2 * p + 1];
      }
    }
  }
};

// Operand is an output of a form that another product reads, see ../include/operand.h: a pair is a
// word then, and four lanes have a piece of 16 bytes. In panels all pieces of a row lie in 128
// bytes that begin at a multiple of that, and the swizzle is the same for them, so that one address
// gives the others.
template <i64 FORM> struct Operand {
  char* dst;
  i64 ld;

  DEVICE_MEMBER operand::Matrix to() const { return {dst, ld, FORM}; }
  DEVICE_MEMBER bool paired(i64 first) const {
    return to().pairs() && (FORM == operand::ROWS || ((i64)dst / 2 + first) % 64 == 0);
  }

  template <bool WHOLE>
  DEVICE_MEMBER void put(const float (&y)[2 * PAIRS], i64 row, const Columns<WHOLE>& at) const {
    char* const start = dst + to().offset(row, WHOLE ? at.first : 0);
    UNROLL
    for (int p = 0; p < PAIRS; p++) {
      const i64 c = at.first + 8 * p;
      if constexpr (WHOLE) {
        char* const word =
            FORM == operand::ROWS ? start + 16 * p : (char*)((uint64_t)start ^ (uint64_t)(16 * p));
        operand::write_pair(word, y[2 * p], y[2 * p + 1]);
      } else {
        if (at.has(c)) to().put(row, c, y[2 * p]);
        if (at.has(c + 1)) to().put(row, c + 1, y[2 * p + 1]);
      }
    }
  }
};

// paired says whether pairs that begin at even columns can be read from every operand.
DEVICE bool paired(const Epilogue& ep) {
  const uint64_t at =
      (uint64_t)ep.bias | (uint64_t)ep.mul | (uint64_t)ep.gate | (uint64_t)ep.residual;
  return at % 8 == 0 && (ep.ld_mul | ep.ld_gate | ep.ld_residual) % 2 == 0;
}

template <int ACT> DEVICE void activate_all(float (&y)[2 * PAIRS]) {
  UNROLL
  for (int e = 0; e < 2 * PAIRS; e++) y[e] = quick_activation<ACT>(y[e]);
}

template <class K> DEVICE void activate(float (&y)[2 * PAIRS], i64 act) {
  if constexpr (K::ACT != ANY_ACT) {
    activate_all<K::ACT>(y);
  } else {
    if (act == GELU_TANH) activate_all<GELU_TANH>(y);
    if (act == SILU) activate_all<SILU>(y);
    if (act == GELU) activate_all<GELU>(y);
  }
}

// finish_row does what Epilogue says with a thread's pairs of a row.
template <class K, bool WHOLE>
DEVICE void finish_row(float (&y)[2 * PAIRS], const float (&bias)[2 * PAIRS], const Epilogue& ep,
                       i64 row, const Columns<WHOLE>& at) {
  float mul[2 * PAIRS] = {}, gate[2 * PAIRS] = {}, residual[2 * PAIRS] = {};
  if (has<K::RESIDUAL>(ep.residual)) at.get(residual, ep.residual + row * ep.ld_residual);
  if (has<K::MUL>(ep.mul)) at.get(mul, ep.mul + row * ep.ld_mul);
  if (has<K::GATE>(ep.gate)) at.get(gate, ep.gate + (ep.index ? ep.index[row] : 0) * ep.ld_gate);
  UNROLL
  for (int e = 0; e < 2 * PAIRS; e++)
    if (ep.bias) y[e] += bias[e];
  activate<K>(y, ep.act);
  UNROLL
  for (int e = 0; e < 2 * PAIRS; e++) {
    if (has<K::MUL>(ep.mul)) y[e] *= mul[e];
    if (has<K::GATE>(ep.gate)) y[e] *= gate[e];
    if (has<K::RESIDUAL>(ep.residual)) y[e] += residual[e];
  }
}

// Area is where a thread's slabs lie: the first at (row, col), a number of the matrix's rows and
// columns, each next one so many rows and columns further on.
struct Area {
  i64 row, rows, col, cols;
  int down, across;
};

// finish_slab finishes the sums of slab b, which has two rows of a thread's.
template <class K, bool WHOLE, class Out>
DEVICE void finish_slab(const float* s, const Epilogue& ep, const Out& out, const Area& a, int b) {
  const Columns<WHOLE> at = {a.col + (i64)b * a.across, a.cols};
  float bias[2 * PAIRS] = {};
  if (ep.bias) at.get(bias, ep.bias);
  UNROLL
  for (int i = 0; i < 2; i++) {
    const i64 row = a.row + (i64)b * a.down + 8 * i;
    if (row >= a.rows) continue;
    float y[2 * PAIRS];
    UNROLL
    for (int e = 0; e < 2 * PAIRS; e++) y[e] = s[e / 2 * 4 + 2 * i + e % 2];
    finish_row<K>(y, bias, ep, row, at);
    out.template put<WHOLE>(y, row, at);
  }
}

// finish_slabs finishes all of them. Where that takes much code, it is there once: always for the
// first registers, to which the others move up.
template <class K, bool WHOLE, int SLABS, class Out>
DEVICE void finish_slabs(float (&s)[SLABS * SLAB], const Epilogue& ep, const Out& out,
                         const Area& a) {
  if constexpr (WHOLE && K::ACT == IDENTITY) {
    UNROLL
    for (int b = 0; b < SLABS; b++) finish_slab<K, WHOLE>(s + b * SLAB, ep, out, a, b);
  } else {
    ROLLED
    for (int b = 0; b < SLABS; b++) {
      finish_slab<K, WHOLE>(s, ep, out, a, b);
      UNROLL
      for (int e = 0; e < (SLABS - 1) * SLAB; e++) s[e] = s[e + SLAB];
    }
  }
}

// finish hands a thread's sums to the epilogue and the output: whole tiles whose operands lie at
// even addresses by pairs, others one by one.
template <class K, int SLABS, class Out>
DEVICE void finish(float (&s)[SLABS * SLAB], const Epilogue& ep, const Out& out, const Area& a) {
  const i64 first = a.col - threadIdx.x % 4 * 2, last = first + (SLABS - 1) * a.across + 8 * PAIRS;
  if (first % 2 == 0 && first >= 0 && last <= a.cols && paired(ep) && out.paired(first))
    finish_slabs<K, true, SLABS>(s, ep, out, a);
  else
    finish_slabs<K, false, SLABS>(s, ep, out, a);
}

// finish_as hands them to the output that the epilogue asks for: float32, or an operand in the FORM
// of the kernel's generation. What has a residual is never an operand: it goes back to the stream
// that it was added to.
template <class K, int SLABS, i64 FORM>
DEVICE void finish_as(float (&s)[SLABS * SLAB], const Epilogue& ep, const Area& a) {
  if constexpr (K::RESIDUAL != ALWAYS) {
    if (ep.form == FORM) {
      finish<K, SLABS>(s, ep, Operand<FORM>{(char*)ep.dst, ep.ld}, a);
      return;
    }
  }
  finish<K, SLABS>(s, ep, Floats{ep.dst, ep.ld}, a);
}

}  // namespace linear
