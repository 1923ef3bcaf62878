// Norms over rows: a warp has a row, lane l its elements l, l+32, ...; sums of lanes are added by a
// butterfly. A row's bits depend on the row alone. dst may be x in all of them. Layer norm and RMS norm
// may store an operand, see ../include/operand.h: `form` is that of dst.
#include "channel.h"

namespace norms {

constexpr int ROWS = 4;  // of a block, a warp each
constexpr int THREADS = 32 * ROWS;

DEVICE i64 row_of_warp() { return (i64)blockIdx.x * ROWS + threadIdx.x / 32; }

DEVICE float sum(const float* x, i64 d) {
  float s = 0;
  for (i64 j = threadIdx.x % 32; j < d; j += 32) s += x[j];
  return sum_over<32>(s);
}

// vector is the row of a RowVec that row i takes; null stays null.
DEVICE const float* vector(const float* m, i64 ld, const int* index, i64 i) {
  return m ? m + (index ? index[i] : 0) * ld : m;
}

// inverse_root is 1/sqrt(x) for x >= 0. Squares that have outgrown float32 give NaN and not 0, which
// would turn the row into numbers that look sound.
DEVICE float inverse_root(float x) { return 1.0f / sqrtf(x) + 0.0f * x; }

// layer_norm: n = (x-mean)/sqrt(var+eps), n·gain+bias, n·(1+scale)+shift; null gain and scale leave
// their step out. x, dst: [n, d]. grid: ceil(n / 4)
KERNEL(THREADS, layer_norm)
(char* dst, i64 ld, i64 form, const float* x, i64 ldx, i64 n, i64 d, double eps, const float* gain,
 const float* bias, const float* scale, i64 ld_scale, const int* scale_index, const float* shift,
 i64 ld_shift, const int* shift_index) {
  const i64 i = row_of_warp();
  if (i >= n) return;
  const float* row = x + i * ldx;
  const operand::Matrix out = {dst, ld, form};
  const float mean = sum(row, d) / (float)d;
  const float inverse = inverse_root(squares(row, d, mean) / (float)d + (float)eps);
  const float* s = vector(scale, ld_scale, scale_index, i);
  const float* t = vector(shift, ld_shift, shift_index, i);
  for (i64 j = threadIdx.x % 32; j < d; j += 32) {
    float y = (row[j] - mean) * inverse;
    if (gain) y = fmaf(y, gain[j], bias ? bias[j] : 0.0f);
    if (s) y = fmaf(y, 1.0f + s[j], t ? t[j] : 0.0f);
    out.put(i, j, y);
  }
}
LAUNCHABLE(THREADS, layer_norm)

// rms_norm_rope: y = x/sqrt(mean(x²)+eps)·gain, then pairs (2p, 2p+1) of heads of 2·half elements are
// rotated by the row's angles; half is 0 where they are not. cos, sin: [n, half]. grid: ceil(n / 4)
KERNEL(THREADS, rms_norm_rope)
(char* dst, i64 ld, i64 form, const float* x, i64 ldx, i64 n, i64 d, double eps, const float* gain,
 i64 half, const float* cos, i64 ld_cos, const float* sin, i64 ld_sin) {
  const i64 i = row_of_warp();
  if (i >= n) return;
  const float* row = x + i * ldx;
  const operand::Matrix out = {dst, ld, form};
  const float inverse = inverse_root(squares(row, d, 0.0f) / (float)d + (float)eps);
  if (half == 0) {
    for (i64 j = threadIdx.x % 32; j < d; j += 32)
      out.put(i, j, row[j] * inverse * (gain ? gain[j] : 1.0f));
    return;
  }
  for (i64 p = threadIdx.x % 32; p < d / 2; p += 32) {
    const float a = row[2 * p] * inverse * (gain ? gain[2 * p] : 1.0f);
    const float b = row[2 * p + 1] * inverse * (gain ? gain[2 * p + 1] : 1.0f);
    const float c = cos[i * ld_cos + p % half], s = sin[i * ld_sin + p % half];
    out.put_two(i, 2 * p, fmaf(a, c, -(b * s)), fmaf(a, s, b * c));
  }
}
LAUNCHABLE(THREADS, rms_norm_rope)

// channel_norm: act(x / max(|x|, 1e-12) · sqrt(d) · gain). grid: ceil(n / 4)
KERNEL(THREADS, channel_norm)
(float* dst, i64 ld, const float* x, i64 ldx, i64 n, i64 d, const float* gain, i64 act) {
  const i64 i = row_of_warp();
  if (i >= n) return;
  const float* row = x + i * ldx;
  const float inverse = channel_scale(row, d);
  for (i64 j = threadIdx.x % 32; j < d; j += 32)
    dst[i * ld + j] = activation(row[j] * inverse * (gain ? gain[j] : 1.0f), act);
}
LAUNCHABLE(THREADS, channel_norm)

}  // namespace norms
