// Linear layers, v1: dst = ep(x·wᵀ + bias) on SIMT, see include/simt.h and README.md.
#include "../include/kernel.h"
#include "../include/simt.h"

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

// Epilogue is act(y + bias)·mul·gate + residual; null pointers leave a step out. Row i takes row
// index[i] of gate, or row 0 without an index. dst may be mul or residual.
struct Epilogue {
  float* dst;            // [n, out], ld apart
  i64 ld;
  const float* bias;     // [out]
  i64 act;
  const float* mul;      // [n, out]
  i64 ld_mul;
  const float* gate;     // [groups, out]
  i64 ld_gate;
  const int* index;      // [n]
  const float* residual; // [n, out]
  i64 ld_residual;

  DEVICE_MEMBER void operator()(i64 row, i64 col, float y) const {
    if (bias) y += bias[col];
    y = activation(y, act);
    if (mul) y *= mul[row * ld_mul + col];
    if (gate) y *= gate[(index ? index[row] : 0) * ld_gate + col];
    if (residual) y += residual[row * ld_residual + col];
    dst[row * ld + col] = y;
  }
};

// grid: (ceil(n / 64), ceil(out / 64))
KERNEL(simt::THREADS, linear_v1)
(const float* x, i64 ldx, const float* w, i64 n, i64 in, i64 out, float* dst, i64 ld,
 const float* bias, i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate,
 const int* index, const float* residual, i64 ld_residual) {
  const Epilogue ep = {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index, residual, ld_residual};
  simt::multiply(Rows<false>{x, ldx}, Weight<float>{w, in}, n, out, in, ep);
}
LAUNCHABLE(simt::THREADS, linear_v1)

// linear_v1_bf16 rounds x, its weight is in bfloat16 already; sums are float32.
KERNEL(simt::THREADS, linear_v1_bf16)
(const float* x, i64 ldx, const bf16* w, i64 n, i64 in, i64 out, float* dst, i64 ld,
 const float* bias, i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate,
 const int* index, const float* residual, i64 ld_residual) {
  const Epilogue ep = {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index, residual, ld_residual};
  simt::multiply(Rows<true>{x, ldx}, Weight<bf16>{w, in}, n, out, in, ep);
}
LAUNCHABLE(simt::THREADS, linear_v1_bf16)

}  // namespace linear
