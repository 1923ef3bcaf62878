// Causal 3D convolution, v1: an implicit product on SIMT, see include/simt.h and README.md. Row
// (t, h, w) of the left matrix is what one output voxel reads, in (kt, kh, kw, in) order; neither
// padding nor doubled frames exist in memory.
#include "../include/kernel.h"
#include "../include/simt.h"

namespace convolution {

// Voxels reads front zero frames, then prev's frames, then x's.
struct Voxels {
  const float* x;     // [frames·h·w, in], ld apart, after prev's
  i64 ld;
  const float* prev;  // [prev_frames·h·w, in]
  i64 ld_prev, prev_frames, frames;  // frames: of prev and x
  i64 front, h, w, twice;            // twice: 1 where frames are doubled in height and width
  i64 kh, kw, in;
  i64 out_h, out_w;
  i64 stride_t, stride, pad_h, pad_w;  // outputs apart in time and space; zeros above and left

  DEVICE_MEMBER float at(i64 row, i64 k) const {
    const i64 tap = k / in, channel = k % in;
    const i64 t = row / (out_h * out_w) * stride_t + tap / (kh * kw) - front;
    const i64 y = row / out_w % out_h * stride + tap / kw % kh - pad_h;
    const i64 z = row % out_w * stride + tap % kw - pad_w;
    if (t < 0 || t >= frames || y < 0 || y >= h << twice || z < 0 || z >= w << twice) return 0.0f;
    const i64 in_frame = (y >> twice) * w + (z >> twice);
    if (t < prev_frames) return prev[(t * h * w + in_frame) * ld_prev + channel];
    return x[((t - prev_frames) * h * w + in_frame) * ld + channel];
  }
};

// Weight is w [out, taps, in].
struct Weight {
  const float* w;
  i64 depth;
  DEVICE_MEMBER float at(i64 row, i64 k) const { return w[row * depth + k]; }
};

// Finish is y + bias + residual; null pointers leave a step out. dst may be residual.
struct Finish {
  float* dst;
  i64 ld;
  const float* bias;
  const float* residual;
  i64 ld_residual;
  DEVICE_MEMBER void operator()(i64 row, i64 col, float y) const {
    if (bias) y += bias[col];
    if (residual) y += residual[row * ld_residual + col];
    dst[row * ld + col] = y;
  }
};

// rows = T·out_h·out_w of dst. grid: (ceil(rows / 64), ceil(out / 64))
KERNEL(simt::THREADS, conv_v1)
(const float* x, i64 ldx, const float* prev, i64 ld_prev, i64 prev_frames, i64 frames, i64 front,
 i64 h, i64 w, i64 twice, i64 kt, i64 kh, i64 kw, i64 in, const float* weight, i64 rows, i64 out_h,
 i64 out_w, i64 stride_t, i64 stride, i64 pad_h, i64 pad_w, i64 out, float* dst, i64 ld, const float* bias, const float* residual,
 i64 ld_residual) {
  const Voxels voxels = {x, ldx, prev, ld_prev, prev_frames, frames, front, h, w, twice,
                         kh, kw, in, out_h, out_w, stride_t, stride, pad_h, pad_w};
  const i64 depth = kt * kh * kw * in;
  simt::multiply(voxels, Weight{weight, depth}, rows, out, depth,
                 Finish{dst, ld, bias, residual, ld_residual});
}
LAUNCHABLE(simt::THREADS, conv_v1)

}  // namespace convolution
