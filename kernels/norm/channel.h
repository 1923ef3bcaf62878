// The VAE's norm over the channels of a voxel, as channel_norm computes it and as convolutions apply
// it to what they read. A warp has the voxel.
#pragma once

#include "../include/kernel.h"

namespace norms {

// squares is the sum of (x-mean)² over a row: lane l adds elements l, l+32, ..., then a butterfly
// adds the lanes.
DEVICE float squares(const float* x, i64 d, float mean) {
  float s = 0;
  for (i64 j = threadIdx.x % 32; j < d; j += 32) s = fmaf(x[j] - mean, x[j] - mean, s);
  return sum_over<32>(s);
}

// channel_scale is what a voxel's channels are multiplied by before their gain: sqrt(d) over the
// voxel's length, which is 1e-12 at least.
DEVICE float channel_scale(const float* row, i64 d) {
  const float length = sqrtf(squares(row, d, 0.0f));
  // NaN stays NaN, and an infinite length becomes one.
  return sqrtf((float)d) / (length < 1e-12f ? 1e-12f : length) + 0.0f * length;
}

}  // namespace norms
