// Causal 3D convolution, v1: an implicit product on SIMT, see include/simt.h and README.md. Row
// (t, h, w) of the left matrix is what one output voxel reads, in (kt, kh, kw, in) order; neither
// padding nor doubled frames exist in memory.
#include "../include/kernel.h"
#include "../include/simt.h"

namespace convolution {

// Voxels are front zero frames, then prev's frames, then x's.
struct Voxels {
  const float* x;     // [frames·h·w, in], ld apart, after prev's
  i64 ld;
  const float* prev;  // [prev_frames·h·w, in]
  i64 ld_prev;
  int prev_frames, frames;       // frames: of prev and x
  int front, h, w, twice;        // twice: 1 where frames are doubled in height and width
  int kt, kh, kw, in;
  int out_h, out_w;
  int stride_t, stride, pad_h, pad_w;  // outputs apart in time and space; zeros above and left

  // at is where a voxel's channels lie, null in what is padded.
  DEVICE_MEMBER const float* at(int t, int y, int z) const {
    const int high = h << twice, wide = w << twice;
    if (t < 0 || t >= frames || y < 0 || y >= high || z < 0 || z >= wide) return nullptr;
    const i64 in_frame = (i64)(y >> twice) * w + (z >> twice), frame = (i64)h * w;
    if (t < prev_frames) return prev + (t * frame + in_frame) * ld_prev;
    return x + ((t - prev_frames) * frame + in_frame) * ld;
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

}  // namespace convolution

namespace simt {

// A thread walks through voxels with the rows that it loads side by side and one step of k: it
// divides once, and looks for voxels where a tap begins.
template <> struct Walk<convolution::Voxels> {
  static constexpr int LOADS = TILE * DEPTH / THREADS;  // rows of a thread
  const convolution::Voxels& v;
  int t[LOADS], y[LOADS], z[LOADS];  // where the windows of its rows begin
  const float* from[LOADS];          // the channels of the tap at hand
  int kt, kh, kw, channel;

  DEVICE_MEMBER Walk(const convolution::Voxels& v, i64 row0, i64 rows, i64)
      : v(v), kt(0), kh(0), kw(0), channel(threadIdx.x % DEPTH) {
    UNROLL
    for (int i = 0; i < LOADS; i++) {
      const i64 row = row0 + threadIdx.x / DEPTH + i * (THREADS / DEPTH);
      const i64 plane = (i64)v.out_h * v.out_w, in_plane = row % plane;
      t[i] = row < rows ? (int)(row / plane) * v.stride_t - v.front : v.frames;
      y[i] = (int)(in_plane / v.out_w) * v.stride - v.pad_h;
      z[i] = (int)(in_plane % v.out_w) * v.stride - v.pad_w;
    }
    aim();
  }

  // aim looks for the voxels of the tap at hand, which may be beyond the last.
  DEVICE_MEMBER void aim() {
    while (channel >= v.in) {
      channel -= v.in;
      if (++kw < v.kw) continue;
      kw = 0;
      if (++kh < v.kh) continue;
      kh = 0;
      kt++;
    }
    UNROLL
    for (int i = 0; i < LOADS; i++)
      from[i] = kt < v.kt ? v.at(t[i] + kt, y[i] + kh, z[i] + kw) : nullptr;
  }

  DEVICE_MEMBER void load_tile(Shared<float> to, i64) {
    const int row = threadIdx.x % DEPTH * PITCH + threadIdx.x / DEPTH;
    UNROLL
    for (int i = 0; i < LOADS; i++)
      to[row + i * (THREADS / DEPTH)] = from[i] ? from[i][channel] : 0.0f;
    channel += DEPTH;
    if (channel >= v.in) aim();
  }
};

}  // namespace simt

namespace convolution {

// rows = T·out_h·out_w of dst. grid: (ceil(rows / 64), ceil(out / 64))
KERNEL(simt::THREADS, conv_v1)
(const float* x, i64 ldx, const float* prev, i64 ld_prev, i64 prev_frames, i64 frames, i64 front,
 i64 h, i64 w, i64 twice, i64 kt, i64 kh, i64 kw, i64 in, const float* weight, i64 rows, i64 out_h,
 i64 out_w, i64 stride_t, i64 stride, i64 pad_h, i64 pad_w, i64 out, float* dst, i64 ld,
 const float* bias, const float* residual, i64 ld_residual) {
  const Voxels voxels = {x, ldx, prev, ld_prev, (int)prev_frames, (int)frames, (int)front, (int)h,
                         (int)w, (int)twice, (int)kt, (int)kh, (int)kw, (int)in, (int)out_h,
                         (int)out_w, (int)stride_t, (int)stride, (int)pad_h, (int)pad_w};
  const i64 depth = kt * kh * kw * in;
  simt::multiply(voxels, Weight{weight, depth}, rows, out, depth,
                 Finish{dst, ld, bias, residual, ld_residual});
}
LAUNCHABLE(simt::THREADS, conv_v1)

}  // namespace convolution
