// Linear layers in E4M3 on Hopper's wgmma. See FP8.md.
#include "../include/bulk.h"
#include "../include/fp8.h"
#include "finish.h"

namespace linear_fp8 {

using linear::Epilogue;

constexpr int ROWS = 256, COLS = 128;       // of a block's tile
constexpr int STAGES = 4;                   // panels in shared memory
constexpr int CONSUMERS = 2;                // warpgroups that multiply, 128 rows each; one more loads
constexpr int THREADS = (CONSUMERS + 1) * warpgroup::THREADS;
constexpr int A_BYTES = ROWS * panels::ROW_BYTES, B_BYTES = COLS * panels::ROW_BYTES;
constexpr int BYTES = STAGES * (A_BYTES + B_BYTES);
static_assert(BYTES + 1024 <= 232448, "what a block may have");
constexpr int PACK_THREADS = 256;

#if HOPPER

constexpr float MOST = 448;                     // of E4M3
constexpr float LEAST = 7.888609052210118e-31f; // 2^-100, below which a row counts as zeros

// largest returns the largest magnitude of a row, rounded to bfloat16; NaN if there is one.
DEVICE float largest(const float* row, i64 cols) {
  float most = 0;
  for (i64 c = threadIdx.x % 32; c < cols; c += 32) {
    const float v = float_of(bits_of(rounded(row[c])) & 0x7fffffff);
    most = v > most || v != v ? v : most;
  }
  return most_over<32>(most);
}

// scaled rounds 16 numbers of a row from column c on; beyond cols there are zeros.
DEVICE Sixteen scaled(const float* row, i64 c, i64 cols, float factor) {
  Sixteen s;
  UNROLL
  for (int i = 0; i < 4; i++) {
    float v[4];
    UNROLL
    for (int j = 0; j < 4; j++) {
      const i64 at = c + 4 * i + j;
      v[j] = at < cols ? rounded(row[at]) * factor : 0.0f;
    }
    s.of[i] = fp8::four(v[0], v[1], v[2], v[3]);
  }
  return s;
}

// put stores a piece of line `line` of all panels.
DEVICE void put(Sixteen* dst, i64 line, int piece, const Sixteen& s) {
  const uint32_t at = (uint32_t)(line % 8 * fp8::PIECES + piece) * 16;
  dst[line / 8 * 8 * fp8::PIECES + wgmma::swizzled(at) / 16] = s;
}

#endif

// pack_fp8: panels of x [rows, cols] in E4M3, each of `pitch` rows, a multiple of 8, and `tail` rows of
// zeros after the last; and the rows' scales. A warp makes a row. grid: ceil((pitch + tail) / 8)
KERNEL(PACK_THREADS, pack_fp8)
(Sixteen* dst, float* scales, const float* x, i64 ldx, i64 rows, i64 cols, i64 pitch, i64 tail) {
#if HOPPER
  const int lane = threadIdx.x % 32;
  const i64 row = (i64)blockIdx.x * (PACK_THREADS / 32) + threadIdx.x / 32;
  const i64 count = (cols + fp8::COLS - 1) / fp8::COLS;
  if (row >= pitch) { // behind the last panel
    if (row < pitch + tail && lane < fp8::PIECES) put(dst, (count - 1) * pitch + row, lane, {});
    return;
  }

  const bool there = row < rows;
  const float* from = x + row * ldx;
  const float most = there ? largest(from, cols) : 0.0f;
  const bool zero = most < LEAST;
  const float factor = zero ? 0.0f : MOST / most;
  if (there && lane == 0) scales[row] = zero ? 0.0f : most / MOST;
  for (i64 p = lane; p < count * fp8::PIECES; p += 32)
    put(dst, p / fp8::PIECES * pitch + row, (int)(p % fp8::PIECES),
        scaled(from, p * fp8::PIECE, zero ? 0 : cols, factor));
#else
  absent();
#endif
}
LAUNCHABLE(PACK_THREADS, pack_fp8)

#if HOPPER

constexpr int HALVES = 2; // of a consumer's rows, which it multiplies in turn
constexpr int GROUP = 8;  // tiles of rows that are walked together

// Call is what a block works on. x and w are panels, with so many rows from one to the next, and the
// scales of their rows.
struct Call {
  const unsigned char *x, *w;
  i64 x_pitch, w_pitch, count;        // count: panels
  const float *x_scales, *w_scales;
  i64 n, out, skip;                   // skip: columns of the first tile before the first output
};

// Place is the first row and column of a block's tile.
struct Place {
  i64 row, col;
};

// place walks over the tiles in groups of GROUP tiles of rows, column after column, so that blocks at
// work at one time share what they read.
DEVICE Place place(const Call& c) {
  const i64 rows = (c.n + ROWS - 1) / ROWS, cols = (c.out + c.skip + COLS - 1) / COLS;
  const i64 group = blockIdx.x / (GROUP * cols), in = blockIdx.x % (GROUP * cols);
  const i64 high = rows - group * GROUP < GROUP ? rows - group * GROUP : GROUP;
  return {(group * GROUP + in % high) * ROWS, in / high * COLS};
}

// Ring is the stages, and the barriers that say which are full and which are empty.
struct Ring {
  uint32_t tiles;
  mbarrier::Row full, empty;
  DEVICE_MEMBER uint32_t a(int stage) const { return tiles + stage * (A_BYTES + B_BYTES); }
  DEVICE_MEMBER uint32_t b(int stage) const { return a(stage) + A_BYTES; }
};

// load brings panel after panel of the tile's rows and columns, as stages become empty. One thread.
DEVICE void load(const Call& c, const Ring& r, const Place& at) {
  mbarrier::Turn<STAGES> t;
  for (i64 p = 0; p < c.count; p++, t.next()) {
    mbarrier::wait(mbarrier::at(r.empty, t.stage), t.parity ^ 1);
    const mbarrier::One full = mbarrier::at(r.full, t.stage);
    mbarrier::expect(full, A_BYTES + B_BYTES);
    bulk::copy(r.a(t.stage), c.x + (p * c.x_pitch + at.row) * panels::ROW_BYTES, A_BYTES, full);
    bulk::copy(r.b(t.stage), c.w + (p * c.w_pitch + at.col) * panels::ROW_BYTES, B_BYTES, full);
  }
}

// Totals are a thread's sums in float32, of 64 rows and 64 columns each: those of the first half of
// its rows, then those of the second.
constexpr int ACROSS = COLS / 64;
struct Totals {
  float of[HALVES * ACROSS][linear::SLAB];
};

// compute sums 128 rows of the tile over all panels. Products of a panel, 128 steps of k, begin at 0,
// and their sums are added to the totals in float32. While one consumer adds, the other multiplies.
DEVICE void compute(Totals& totals, i64 count, const Ring& r, int consumer) {
  mbarrier::Turn<STAGES> t;
  for (i64 p = 0; p < count; p++, t.next()) {
    mbarrier::wait(mbarrier::at(r.full, t.stage), t.parity);
    const uint32_t a = r.a(t.stage) + consumer * 128 * panels::ROW_BYTES, b = r.b(t.stage);
    UNROLL
    for (int h = 0; h < HALVES; h++) {
      wgmma::Sums<COLS> sums;
      wgmma::hold(sums);
      wgmma::fence();
      UNROLL
      for (int k = 0; k < fp8::COLS; k += fp8::STEP)
        fp8::multiply(sums, fp8::panel(a + h * 64 * panels::ROW_BYTES, k), fp8::panel(b, k), k > 0);
      wgmma::commit();
      wgmma::wait<0>();
      wgmma::hold(sums);
      UNROLL
      for (int e = 0; e < COLS / 2; e++)
        totals.of[h * ACROSS + e / linear::SLAB][e % linear::SLAB] += sums[e];
    }
    if (threadIdx.x % 32 == 0) mbarrier::arrive(mbarrier::at(r.empty, t.stage));
  }
}

// finish gives sums of a thread, from a row and a column of the tile on, their scales, and hands them
// to the epilogue. What is not there is not stored, whatever its scale.
template <class K>
DEVICE void finish(float (&s)[linear::SLAB], const Call& c, i64 row, i64 col, const Epilogue& ep) {
  const float x[] = {row < c.n ? c.x_scales[row] : 0.0f, row + 8 < c.n ? c.x_scales[row + 8] : 0.0f};
  const float* w = c.w_scales + col;
  const int first = col < 0 ? (int)-col : 0, end = c.out - col < 64 ? (int)(c.out - col) : 64;
  UNROLL
  for (int p = 0; p < linear::PAIRS; p++) {
    UNROLL
    for (int i = 0; i < 2; i++) {
      const float scale = 8 * p + i >= first && 8 * p + i < end ? w[8 * p + i] : 0.0f;
      s[4 * p + i] = s[4 * p + i] * x[0] * scale;
      s[4 * p + 2 + i] = s[4 * p + 2 + i] * x[1] * scale;
    }
  }
  linear::finish_as<K, 1, operand::PANELS>(s, ep, {row, c.n, col, c.out, 0, 64});
}

// finish_all finishes all sums. What may have any step has its code once, for the first registers, to
// which the others move up.
template <class K>
DEVICE void finish_all(Totals& t, const Call& c, const Place& at, const Epilogue& ep) {
  const int thread = threadIdx.x % warpgroup::THREADS, lane = thread % 32;
  const i64 row = at.row + thread / 32 * 16 + lane / 4, col = at.col + lane % 4 * 2 - c.skip;
  if constexpr (K::ACT == IDENTITY) {
    UNROLL
    for (int b = 0; b < HALVES * ACROSS; b++)
      finish<K>(t.of[b], c, row + b / ACROSS * 64, col + b % ACROSS * 64, ep);
  } else {
    ROLLED
    for (int b = 0; b < HALVES * ACROSS; b++) {
      finish<K>(t.of[0], c, row + b / ACROSS * 64, col + b % ACROSS * 64, ep);
      UNROLL
      for (int e = 0; e < (HALVES * ACROSS - 1) * linear::SLAB; e++)
        t.of[e / linear::SLAB][e % linear::SLAB] = t.of[e / linear::SLAB + 1][e % linear::SLAB];
    }
  }
}

DEVICE void begin(const Ring& r) {
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier::init(mbarrier::at(r.full, s), 1);
      mbarrier::init(mbarrier::at(r.empty, s), CONSUMERS * 4);
    }
    bulk::fence();
  }
  __syncthreads();
}

// run computes the block's tile; K is the kind of its epilogue.
template <class K> DEVICE void run(const Call& c, const Epilogue& ep) {
  TILES(tiles, BYTES);
  MBARRIERS(full, STAGES);
  MBARRIERS(empty, STAGES);
  const Ring r = {tiles, full, empty};
  const Place tile = place(c);
  begin(r);
  const int group = warpgroup::index();
  if (group == CONSUMERS) {
    warpgroup::less<40>();
    if (threadIdx.x % warpgroup::THREADS == 0) load(c, r, tile);
  } else {
    warpgroup::more<232>();
    Totals totals = {};
    compute(totals, c.count, r, group);
    finish_all<K>(totals, c, {tile.row + 128 * group, tile.col}, ep);
  }
}

#define RUN_FP8(K) \
  run<K>({x, w, x_pitch, w_pitch, count, x_scales, w_scales, n, out, skip}, \
         {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index, residual, ld_residual, form})
#else
#define RUN_FP8(K) absent()
#endif
// x: panels of [n, in]; w: those of [out, in], from a multiple of 8 outputs on, `skip` before the
// first. grid: ceil(n / 256) · ceil((skip + out) / 128)
#define LINEAR_FP8(name, K)                                                                        \
  KERNEL_ALONE(THREADS, name)                                                                      \
  (const unsigned char* x, i64 x_pitch, const unsigned char* w, i64 w_pitch, i64 n, i64 count,     \
   i64 out, i64 skip, const float* x_scales, const float* w_scales, float* dst, i64 ld,            \
   const float* bias, i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate,       \
   const int* index, const float* residual, i64 ld_residual, i64 form) {                           \
    RUN_FP8(K);                                                                                    \
  }                                                                                                \
  LAUNCHABLE(THREADS, name)

LINEAR_FP8(linear_fp8, linear::Any)
LINEAR_FP8(linear_fp8_plain, linear::Plain)
LINEAR_FP8(linear_fp8_active, linear::Active)
LINEAR_FP8(linear_fp8_residual, linear::Residual)
LINEAR_FP8(linear_fp8_gated, linear::Gated)

}  // namespace linear_fp8
