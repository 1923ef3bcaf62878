// Operations on single elements of [rows, cols] matrices. What has a `form` may be an operand, see
// ../include/operand.h. grid: ceil(rows·cols / 256)
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
(char* dst, i64 ld, i64 form, const float* a, i64 lda, const float* b, i64 ldb, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) operand::Matrix{dst, ld, form}.put(i, j, a[i * lda + j] + b[i * ldb + j]);
}
LAUNCHABLE(THREADS, add)

// copy: dst = x, any distances of rows; the pack and unpack of the all-to-all.
KERNEL(THREADS, copy)
(char* dst, i64 ld, i64 form, char* x, i64 ldx, i64 form_x, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows)
    operand::Matrix{dst, ld, form}.put(i, j, operand::Matrix{x, ldx, form_x}.get(i, j));
}
LAUNCHABLE(THREADS, copy)

// add_means: dst += the mean of its share of x, in whose frames a block of frames x side x side
// voxels stands for one of dst's, high x wide. Frames that x lacks in front are zeros.
KERNEL(THREADS, add_means)
(float* dst, i64 ld, const float* x, i64 ldx, i64 rows, i64 cols, i64 high, i64 wide, i64 frames,
 i64 side, i64 missing, i64 share) {
  const i64 at = element(), i = at / cols, c = at % cols;
  if (i >= rows) return;
  const i64 col = i % wide, row = i / wide % high, t = i / (wide * high);
  const i64 voxels = frames * side * side;
  float sum = 0;
  for (i64 j = c * share; j < (c + 1) * share; j++) {
    const i64 voxel = j % voxels, frame = t * frames + voxel / (side * side) - missing;
    if (frame < 0) continue;
    const i64 y = (frame * high + row) * side + voxel / side % side;
    sum += x[(y * wide * side + col * side + voxel % side) * ldx + j / voxels];
  }
  dst[i * ld + c] += sum / (float)share;
}
LAUNCHABLE(THREADS, add_means)

// add_repeated: each element of x is added to all of its share of dst, [rows, cols], whose blocks
// are as in add_means; high x wide is a frame of x.
KERNEL(THREADS, add_repeated)
(float* dst, i64 ld, const float* x, i64 ldx, i64 rows, i64 cols, i64 high, i64 wide, i64 frames,
 i64 side, i64 missing, i64 share) {
  const i64 at = element(), i = at / cols, c = at % cols;
  if (i >= rows) return;
  const i64 col = i % (wide * side), row = i / (wide * side) % (high * side);
  const i64 frame = i / (wide * side) / (high * side) + missing;
  const i64 voxel = (frame % frames * side + row % side) * side + col % side;
  const i64 from = (frame / frames * high + row / side) * wide + col / side;
  dst[i * ld + c] += x[from * ldx + (c * frames * side * side + voxel) / share];
}
LAUNCHABLE(THREADS, add_repeated)

// pack_bf16: dense dst = x rounded; what goes out to other ranks.
KERNEL(THREADS, pack_bf16)(bf16* dst, char* x, i64 ldx, i64 form, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) dst[at] = narrow(operand::Matrix{x, ldx, form}.get(i, j));
}
LAUNCHABLE(THREADS, pack_bf16)

// unpack_bf16: dst = dense x; what comes in.
KERNEL(THREADS, unpack_bf16)(char* dst, i64 ld, i64 form, const bf16* x, i64 rows, i64 cols) {
  const i64 at = element(), i = at / cols, j = at % cols;
  if (i < rows) operand::Matrix{dst, ld, form}.put(i, j, widen(x[at]));
}
LAUNCHABLE(THREADS, unpack_bf16)

}  // namespace elementwise
