// What v2 and v3 multiply: voxels, normed on the way, and weights; see blocks.h.
#include "../norm/channel.h"
#include "blocks.h"

namespace convolution {

constexpr int VOXELS = 4;  // of a block of threads, a warp each
constexpr int VOXEL_THREADS = 32 * VOXELS;
constexpr int WEIGHT_THREADS = 256;

// conv_voxels: dst [n, blocks, 128 bytes] = operand of x, or of act(norm(x)) where normed is 1: what
// channel_norm gives, to the bit, rounded. A null gain is ones. x: [n, d]. grid: ceil(n / 4)
template <bool SPLIT>
DEVICE void voxels(bf16* dst, const float* x, i64 ldx, i64 n, i64 d, i64 normed, const float* gain,
                   i64 act) {
  const i64 i = (i64)blockIdx.x * VOXELS + threadIdx.x / 32;
  if (i >= n) return;
  const float* row = x + i * ldx;
  const float scale = normed ? norms::channel_scale(row, d) : 1.0f;
  const i64 wide = block_channels(SPLIT), blocks = (d + wide - 1) / wide;
  bf16* to = dst + i * blocks * BLOCK;

  // Channel j is lane j % 32's in both layouts.
  for (i64 j = threadIdx.x % 32; j < blocks * wide; j += 32) {
    float y = j < d ? row[j] : 0.0f;
    if (normed && j < d) y = activation(y * scale * (gain ? gain[j] : 1.0f), act);
    if (SPLIT) {
      to[j / 32 * BLOCK + j % 32] = narrow(y);
      to[j / 32 * BLOCK + j % 32 + 32] = low_half(y);
    } else {
      to[j] = narrow(y);
    }
  }
}

KERNEL(VOXEL_THREADS, conv_voxels)
(bf16* dst, const float* x, i64 ldx, i64 n, i64 d, i64 normed, const float* gain,
 i64 act) {
  voxels<true>(dst, x, ldx, n, d, normed, gain, act);
}
LAUNCHABLE(VOXEL_THREADS, conv_voxels)

KERNEL(VOXEL_THREADS, conv_voxels_bf16)
(bf16* dst, const float* x, i64 ldx, i64 n, i64 d, i64 normed, const float* gain,
 i64 act) {
  voxels<false>(dst, x, ldx, n, d, normed, gain, act);
}
LAUNCHABLE(VOXEL_THREADS, conv_voxels_bf16)

// conv_weights: dst [kt·kh, blocks, kw, pitch, 128 bytes], the order in which blocks of a tile of
// outputs are multiplied, of w [out, kt·kh, kw, d]. Pieces of a row lie as piece_at has them; rows from
// out on are zeros. A thread makes a piece. grid: ceil(kt·kh·blocks·kw·pitch·8 / 256)
KERNEL(WEIGHT_THREADS, conv_weights)
(Sixteen* dst, const float* w, i64 lines, i64 kw, i64 d, i64 out, i64 pitch, i64 split) {
  const i64 at = (i64)blockIdx.x * WEIGHT_THREADS + threadIdx.x;
  const i64 wide = split ? BLOCK / 2 : BLOCK, blocks = (d + wide - 1) / wide;
  const i64 row = at / PIECES % pitch, stage = at / PIECES / pitch;
  if (stage >= lines * blocks * kw) return;
  const i64 across = stage % kw, block = stage / kw % blocks, line = stage / kw / blocks;
  const int piece = (int)(at % PIECES) ^ (int)(row & 7);
  const bool low = split && piece >= PIECES / 2;
  const i64 channel = block * wide + (piece - (low ? PIECES / 2 : 0)) * 8;

  Sixteen s;
  UNROLL
  for (int i = 0; i < 4; i++) {
    uint32_t both = 0;
    UNROLL
    for (int c = 0; c < 2; c++) {
      const i64 k = channel + 2 * i + c;
      const float x = row < out && k < d ? w[((row * lines + line) * kw + across) * d + k] : 0.0f;
      both |= (uint32_t)(low ? low_half(x) : narrow(x)) << 16 * c;
    }
    s.of[i] = both;
  }
  dst[at] = s;
}
LAUNCHABLE(WEIGHT_THREADS, conv_weights)

}  // namespace convolution
