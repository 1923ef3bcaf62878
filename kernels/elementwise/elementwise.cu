// Operations on single elements of [rows, cols] matrices. grid: ceil(rows·cols / 256)
#include "../include/kernel.h"

namespace elementwise {

constexpr int THREADS = 256;

DEVICE i64 element() { return (i64)blockIdx.x * THREADS + threadIdx.x; }

// activate: dst = act(x). dst may be x.
KERNEL(THREADS, activate)
(float* dst, i64 ld, const float* x, i64 ldx, i64 rows, i64 cols, i64 act) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[i * ld + j] = activation(x[i * ldx + j], act);
}
LAUNCHABLE(THREADS, activate)

// add_vector: dst[i,:] = x[i,:] + v. dst may be x.
KERNEL(THREADS, add_vector)
(float* dst, i64 ld, const float* x, i64 ldx, i64 rows, i64 cols, const float* v) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[i * ld + j] = x[i * ldx + j] + v[j];
}
LAUNCHABLE(THREADS, add_vector)

// add: dst = a + b. dst may be a or b.
KERNEL(THREADS, add)
(float* dst, i64 ld, const float* a, i64 lda, const float* b, i64 ldb, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[i * ld + j] = a[i * lda + j] + b[i * ldb + j];
}
LAUNCHABLE(THREADS, add)

// copy: dst = x, any distances of rows; the pack and unpack of the all-to-all.
KERNEL(THREADS, copy)(float* dst, i64 ld, const float* x, i64 ldx, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[i * ld + j] = x[i * ldx + j];
}
LAUNCHABLE(THREADS, copy)

// pack_bf16: dense dst = x rounded; what goes out to other ranks.
KERNEL(THREADS, pack_bf16)(bf16* dst, const float* x, i64 ldx, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[at] = narrow(x[i * ldx + j]);
}
LAUNCHABLE(THREADS, pack_bf16)

// unpack_bf16: dst = dense x; what comes in.
KERNEL(THREADS, unpack_bf16)(float* dst, i64 ld, const bf16* x, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[i * ld + j] = widen(x[at]);
}
LAUNCHABLE(THREADS, unpack_bf16)

}  // namespace elementwise
