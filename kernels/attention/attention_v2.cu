// Flash attention, v2: on tensor cores, with q, k and v in bfloat16 and sums in float32, for heads
// up to 128 wide. Keys are walked in order, a tile at a time, with the running softmax of Milakov
// and Gimelshein (2018); the arrangement is that of FlashAttention-2 (Dao, 2023): a warp has rows of
// its own, probabilities stay in registers and become the next product's operand. See README.md.
#include "../include/mma.h"
#include "walk.h"

namespace attention {
namespace v2 {

constexpr int THREADS = 128;  // of a block: 4 warps
constexpr int ROWS = 32;      // queries of a warp
constexpr int QUERIES = THREADS / 32 * ROWS;
constexpr int DOWN = ROWS / 16;
constexpr float LAG = 8;  // see soften
constexpr float LOG2E = 1.44269504f;

// KEYS is how many a tile has; it fixes the bits. Wide heads leave registers for no more.
template <int WIDEST> constexpr int KEYS = WIDEST > 64 ? 32 : 64;

// Matrix is [rows, hd] of a head; rows begin at multiples of 16 bytes and are filled with zeros to
// a multiple of 8.
struct Matrix {
  const bf16* at;
  i64 ld, rows;
};

// Call is what all threads share: shapes, and matrices that begin at the block's head.
struct Call {
  const float* q;     // [nq, hd]
  i64 ldq, nq, hd;
  Matrix k, v;
  operand::Matrix dst;  // [nq, heads·hd]
  i64 column;         // the first of the head's in dst
  const float* bias;  // [nq+nk-1] or null
  float scale, inverse, last;  // inverse: 1 / scale; last: added to the logit of the last key
  const int* lists;   // of keys to attend to, see walk.h, or null
};

// Running is the softmax of the thread's rows so far: rows g and g+8 of each product. Sums are of
// the thread's own keys.
struct Running {
  float most[DOWN][2], sum[DOWN][2];
};

// Logits are a warp's with the keys of a tile, then their probabilities.
template <int TILE> struct Logits {
  float of[DOWN][TILE / 8][4];
};

// Out is a warp's weighted values.
template <int WIDEST> struct Out {
  float of[DOWN][WIDEST / 8][4];
};

// place is where 8 elements of a row are in shared memory. The order of a row's chunks turns with
// the row, so that any 8 rows of the same chunk lie in different banks.
template <int WIDEST> DEVICE int place(int row, int chunk) {
  const int turn = WIDEST == 32 ? row / 2 % 4 : row % 8;
  return row * WIDEST + (chunk ^ turn) * 8;
}

// load_queries rounds the block's queries; what is not there becomes zeros.
template <int WIDEST> DEVICE void load_queries(Shared<bf16> to, const Call& a, i64 first) {
  constexpr int CHUNKS = WIDEST / 8;
  const int chunk = threadIdx.x % CHUNKS;
  for (int r = threadIdx.x / CHUNKS; r < QUERIES; r += THREADS / CHUNKS) {
    const i64 row = first + r;
    store(to + place<WIDEST>(r, chunk),
          rounded_eight(a.q + row * a.ldq, 8 * chunk, row < a.nq ? a.hd : 0));
  }
}

// load starts the copies of a tile of rows from row0 on; what is not there becomes zeros.
template <int WIDEST> DEVICE void load(Shared<bf16> to, const Matrix& m, i64 row0, i64 hd) {
  constexpr int CHUNKS = WIDEST / 8;
  const int chunk = threadIdx.x % CHUNKS;
  for (int r = threadIdx.x / CHUNKS; r < KEYS<WIDEST>; r += THREADS / CHUNKS) {
    const bool there = row0 + r < m.rows && 8 * chunk < hd;
    copy16(to + place<WIDEST>(r, chunk), m.at + (there ? (row0 + r) * m.ld + 8 * chunk : 0),
           there ? 16 : 0);
  }
  commit_copies();
}

// score computes the products of the warp's queries with a tile of keys.
template <int WIDEST>
DEVICE void score(Logits<KEYS<WIDEST>>& s, Shared<bf16> q, Shared<bf16> keys) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int k = 0; k < WIDEST / 16; k++) {
    Fragment<4> x[DOWN];
    UNROLL
    for (int m = 0; m < DOWN; m++)
      x[m] = load_matrices(q + place<WIDEST>(16 * m + lane % 16, 2 * k + lane / 16));
    UNROLL
    for (int n = 0; n < KEYS<WIDEST> / 16; n++) {
      const int row = 16 * n + lane / 16 * 8 + lane % 8;
      const Fragment<4> y = load_matrices(keys + place<WIDEST>(row, 2 * k + lane / 8 % 2));
      UNROLL
      for (int m = 0; m < DOWN; m++) {
        multiply_add(s.of[m][2 * n], x[m], y.of[0], y.of[1]);
        multiply_add(s.of[m][2 * n + 1], x[m], y.of[2], y.of[3]);
      }
    }
  }
}

// adjusted returns a product with what is added to it; keys that do not exist are at -infinity.
DEVICE float adjusted(float s, const Call& a, i64 query, i64 key) {
  if (key >= a.k.rows) return -INFINITY;
  if (a.bias && query < a.nq) s += a.bias[key - query + a.nq - 1] * a.inverse;
  return key == a.k.rows - 1 ? s + a.last * a.inverse : s;
}

template <int TILE> DEVICE void adjust(Logits<TILE>& s, const Call& a, i64 row0, i64 key0) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int n = 0; n < TILE / 8; n++) {
      UNROLL
      for (int r = 0; r < 4; r++)
        s.of[m][n][r] = adjusted(s.of[m][n][r], a, row0 + 16 * m + lane / 4 + r / 2 * 8,
                                 key0 + 8 * n + lane % 4 * 2 + r % 2);
    }
  }
}

// soften turns the logits of the thread's row `half` of product m into probabilities against the
// running maximum, and returns what the earlier ones shrink by. The maximum may lag behind by a
// factor of 2^LAG (FlashAttention-4): probabilities are as exact in bfloat16 above 1 as below, and
// what was added before need not shrink for little.
template <int TILE>
DEVICE float soften(Logits<TILE>& s, Running& run, int m, int half, float scale) {
  float most = run.most[m][half];
  UNROLL
  for (int n = 0; n < TILE / 8; n++)
    most = fmaxf(most, fmaxf(s.of[m][n][2 * half], s.of[m][n][2 * half + 1]));
  most = most_over<4>(most);
  const bool stays = !((most - run.most[m][half]) * scale > LAG);
  if (stays) most = run.most[m][half];
  const float base = fmaxf(most, -3.4028235e38f / scale) * scale;  // all at -infinity: not NaN
  float total = 0;
  UNROLL
  for (int n = 0; n < TILE / 8; n++) {
    UNROLL
    for (int r = 2 * half; r < 2 * half + 2; r++) {
      s.of[m][n][r] = power(fmaf(s.of[m][n][r], scale, -base));
      total += s.of[m][n][r];
    }
  }
  // Exactly 1 where the maximum stays: what rounding `base` costs would add up over the tiles.
  const float shrink = stays ? 1.0f : power(fmaf(run.most[m][half], scale, -base));
  run.sum[m][half] = fmaf(run.sum[m][half], shrink, total);
  run.most[m][half] = most;
  return shrink;
}

// soften_all does that for all the thread's rows, and weighs what was added before against the new
// maxima. In most tiles there is none in any row of a warp, and times 1 would change no bit.
template <int WIDEST>
DEVICE void soften_all(Logits<KEYS<WIDEST>>& s, Running& run, Out<WIDEST>& out, float scale) {
  float shrink[DOWN][2];
  bool any = false;
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int half = 0; half < 2; half++) {
      shrink[m][half] = soften(s, run, m, half, scale);
      any = any || shrink[m][half] != 1.0f;
    }
  }
  if (!any_lane(any)) return;
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int n = 0; n < WIDEST / 8; n++) {
      UNROLL
      for (int r = 0; r < 4; r++) out.of[m][n][r] *= shrink[m][r / 2];
    }
  }
}

// weigh adds the tile's values, weighted: two products of logits side by side are one operand.
template <int WIDEST>
DEVICE void weigh(Out<WIDEST>& out, const Logits<KEYS<WIDEST>>& p, Shared<bf16> values) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int k = 0; k < KEYS<WIDEST> / 16; k++) {
    Fragment<4> x[DOWN];
    UNROLL
    for (int m = 0; m < DOWN; m++) {
      const float *low = p.of[m][2 * k], *high = p.of[m][2 * k + 1];
      x[m] = {{pair(low[0], low[1]), pair(low[2], low[3]), pair(high[0], high[1]),
               pair(high[2], high[3])}};
    }
    UNROLL
    for (int n = 0; n < WIDEST / 16; n++) {
      const Fragment<4> y =
          load_transposed(values + place<WIDEST>(16 * k + lane % 16, 2 * n + lane / 16));
      UNROLL
      for (int m = 0; m < DOWN; m++) {
        multiply_add(out.of[m][2 * n], x[m], y.of[0], y.of[1]);
        multiply_add(out.of[m][2 * n + 1], x[m], y.of[2], y.of[3]);
      }
    }
  }
}

// finish divides by the sums and stores.
template <int WIDEST>
DEVICE void finish(const Out<WIDEST>& out, const Running& run, const Call& a, i64 row0) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int half = 0; half < 2; half++) {
      const i64 row = row0 + 16 * m + lane / 4 + 8 * half;
      const float sum = sum_over<4>(run.sum[m][half]);
      if (row >= a.nq) continue;
      UNROLL
      for (int n = 0; n < WIDEST / 8; n++) {
        const i64 col = 8 * n + lane % 4 * 2;
        const float y = out.of[m][n][2 * half] / sum, z = out.of[m][n][2 * half + 1] / sum;
        if (col + 1 < a.hd) a.dst.put_two(row, a.column + col, y, z);
        else if (col < a.hd) a.dst.put(row, a.column + col, y);
      }
    }
  }
}

// attend walks over the keys. Values arrive while the tile's logits are computed, the next keys
// while its values are weighed.
template <int WIDEST> DEVICE void attend(const Call& a) {
  constexpr int TILE = KEYS<WIDEST>;
  DYNAMIC(bf16, rows, (QUERIES + 2 * TILE) * WIDEST);
  const Shared<bf16> keys = rows + QUERIES * WIDEST, values = keys + TILE * WIDEST;
  const int warp = threadIdx.x / 32;
  const i64 first = (i64)blockIdx.x * QUERIES, row0 = first + warp * ROWS;
  const bool idle = row0 >= a.nq;
  Out<WIDEST> out = {};
  Running run;
  for (int m = 0; m < DOWN; m++)
    for (int half = 0; half < 2; half++) run.most[m][half] = -INFINITY, run.sum[m][half] = 0;
  load_queries<WIDEST>(rows, a, first);
  const Walk<TILE> walk = walk_of<TILE>(a.lists, first, a.k.rows);
  i64 key = walk.at(0) * TILE, next = 0;
  load<WIDEST>(keys, a.k, key, a.hd);
  for (int n = 0; n < walk.count; n++, key = next) {
    const bool more = n + 1 < walk.count;
    if (more) next = walk.at(n + 1) * TILE;
    wait_copies<0>();
    __syncthreads();
    load<WIDEST>(values, a.v, key, a.hd);
    Logits<TILE> s = {};
    if (!idle) score<WIDEST>(s, rows + warp * ROWS * WIDEST, keys);
    wait_copies<0>();
    __syncthreads();
    if (more) load<WIDEST>(keys, a.k, next, a.hd);
    if (idle) continue;
    if (a.bias || key + TILE >= a.k.rows) adjust(s, a, row0, key);
    soften_all(s, run, out, a.scale * LOG2E);
    weigh(out, s, values);
  }
  if (!idle) finish(out, run, a, row0);
}

}  // namespace v2

// ATTENTION_V2 defines the kernel for head dims up to WIDEST. q, dst: [nq, heads·hd]; k, v: [nk,
// heads, wide] in bfloat16, rows ldk apart, wide being hd rounded up to 8 and filled with zeros; bias:
// [heads, nq+nk-1] or null; lists: see walk.h, or null; form: of dst, see ../include/operand.h. grid:
// (ceil(nq / 128), heads)
#define ATTENTION_V2(name, WIDEST)                                                                \
  KERNEL(v2::THREADS, name)                                                                       \
  (char* dst, i64 ld, i64 form, const float* q, i64 ldq, const bf16* k, const bf16* v, i64 nq,    \
   i64 nk, i64 ldk, i64 hd, double scale, double last, const float* bias, i64 ld_bias,            \
   const int* lists) {                                                                            \
    const i64 head = blockIdx.y, at = head * ((hd + 7) / 8 * 8);                                  \
    v2::attend<WIDEST>(v2::Call{q + head * hd, ldq, nq, hd, {k + at, ldk, nk}, {v + at, ldk, nk}, \
                                {dst, ld, form}, head * hd, bias ? bias + head * ld_bias : bias,  \
                                (float)scale, 1.0f / (float)scale, (float)last, lists});          \
  }                                                                                               \
  LAUNCHABLE(v2::THREADS, name)

ATTENTION_V2(attention_v2_32, 32)
ATTENTION_V2(attention_v2_64, 64)
ATTENTION_V2(attention_v2_128, 128)

}  // namespace attention
