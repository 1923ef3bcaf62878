// The values of attention v3, rounded and transposed: see heads.h.
#include "heads.h"

namespace attention3 {

constexpr int PACK_THREADS = 256;

// pack_values_v3: v [nk, hd] of each head, float32 or an operand, transposed: panels of 64 keys with
// `wide` rows, which are v's columns; what is not there is zero. A thread makes 16 bytes. grid:
// (ceil(panels·wide·8 / 256), heads)
KERNEL(PACK_THREADS, pack_values_v3)
(Sixteen* dst, char* v, i64 ldv, i64 form, i64 nk, i64 hd, i64 wide, i64 count) {
  const i64 at = (i64)blockIdx.x * PACK_THREADS + threadIdx.x;
  const i64 col = at % wide, piece = at / wide % panels::PIECES, panel = at / wide / panels::PIECES;
  if (panel >= count) return;
  const operand::Matrix from = {v, ldv, form};
  const i64 key = panel * panels::COLS + piece * panels::PIECE;
  float x[panels::PIECE];
  UNROLL
  for (int i = 0; i < panels::PIECE; i++)
    x[i] = col < hd && key + i < nk ? from.get(key + i, blockIdx.y * hd + col) : 0.0f;
  const Sixteen s = {{pair(x[0], x[1]), pair(x[2], x[3]), pair(x[4], x[5]), pair(x[6], x[7])}};
  dst[value_piece(blockIdx.y, count, wide, panel, col, piece)] = s;
}
LAUNCHABLE(PACK_THREADS, pack_values_v3)

}  // namespace attention3
