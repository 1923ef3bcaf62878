// Linear layers, v1: dst = ep(x·wᵀ + bias) on SIMT, see include/simt.h and README.md.
#include "../include/kernel.h"
#include "../include/simt.h"
#include "epilogue.h"

namespace linear {

// Rows is x [n, in], ld elements apart, rounded to bfloat16 where the weight is.
template <bool ROUND> struct Rows {
  const float* x;
  i64 ld;
  DEVICE_MEMBER float at(i64 row, i64 k) const {
    const float v = x[row * ld + k];
    return ROUND ? rounded(v) : v;
  }
};

// Weight is w [out, in].
template <class T> struct Weight {
  const T* w;
  i64 in;
  DEVICE_MEMBER float at(i64 row, i64 k) const { return as_float(w[row * in + k]); }
};

// grid: (ceil(n / 64), ceil(out / 64))
KERNEL(simt::THREADS, linear_v1)
(const float* x, i64 ldx, const float* w, i64 n, i64 in, i64 out, float* dst, i64 ld,
 const float* bias, i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate,
 const int* index, const float* residual, i64 ld_residual, i64 form) {
  const Epilogue ep = {dst,     ld,    bias,     act,         mul, ld_mul, gate,
                       ld_gate, index, residual, ld_residual, form};
  simt::multiply(Rows<false>{x, ldx}, Weight<float>{w, in}, n, out, in, ep);
}
LAUNCHABLE(simt::THREADS, linear_v1)

// linear_v1_bf16 rounds x, its weight is in bfloat16 already; sums are float32.
KERNEL(simt::THREADS, linear_v1_bf16)
(const float* x, i64 ldx, const bf16* w, i64 n, i64 in, i64 out, float* dst, i64 ld,
 const float* bias, i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate,
 const int* index, const float* residual, i64 ld_residual, i64 form) {
  const Epilogue ep = {dst,     ld,    bias,     act,         mul, ld_mul, gate,
                       ld_gate, index, residual, ld_residual, form};
  simt::multiply(Rows<true>{x, ldx}, Weight<bf16>{w, in}, n, out, in, ep);
}
LAUNCHABLE(simt::THREADS, linear_v1_bf16)

}  // namespace linear
