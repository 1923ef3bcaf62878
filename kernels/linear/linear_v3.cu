// Linear layers, v3: Hopper's wgmma, fed by bulk copies. See README.md.
#include "../include/bulk.h"
#include "../include/panels.h"
#include "finish.h"

namespace linear3 {

using linear::Epilogue;

constexpr int ROWS = 128, COLS = 256;       // of a block's tile
constexpr int STAGES = 4;                   // panels in shared memory
constexpr int CONSUMERS = 2;                // warpgroups that multiply, 64 rows each; one more loads
constexpr int THREADS = (CONSUMERS + 1) * warpgroup::THREADS;
constexpr int A_BYTES = ROWS * panels::ROW_BYTES, B_BYTES = COLS * panels::ROW_BYTES;
constexpr int BYTES = STAGES * (A_BYTES + B_BYTES);
static_assert(BYTES + 1024 <= 232448, "what a block may have");
constexpr int GROUP = 16;                   // tiles of rows that are walked together
constexpr int PACK_THREADS = 256;

// pack_v3: panels of x [rows, cols], each of `pitch` rows, a multiple of 8, and `tail` rows of zeros
// after the last; then those of the next `cols` columns of x, and so on for as many as the grid is
// high. A thread makes 16 bytes. grid: (ceil((panels·pitch + tail)·8 / 256), heads)
KERNEL(PACK_THREADS, pack_v3)
(Sixteen* dst, const float* x, i64 ldx, i64 rows, i64 cols, i64 pitch, i64 tail) {
  const i64 at = (i64)blockIdx.x * PACK_THREADS + threadIdx.x;
  const i64 count = (cols + panels::COLS - 1) / panels::COLS;
  const i64 line = at / panels::PIECES, panel = line / pitch, row = line % pitch;
  if (line >= count * pitch + tail) return;
  const i64 col = panel * panels::COLS + at % panels::PIECES * panels::PIECE;
  const bool there = panel < count && row < rows;
  const Sixteen s = rounded_eight(x + row * ldx + blockIdx.y * cols, col,
                                         there ? cols : 0);
  dst += blockIdx.y * (count * pitch + tail) * panels::PIECES;
  dst[wgmma::swizzled((uint32_t)(at % (8 * panels::PIECES) * 16)) / 16 +
      at / (8 * panels::PIECES) * (8 * panels::PIECES)] = s;
}
LAUNCHABLE(PACK_THREADS, pack_v3)

// Call is what a block works on. x and w are panels, with so many rows from one to the next.
struct Call {
  const bf16 *x, *w;
  i64 x_pitch, w_pitch, count;  // count: panels
  i64 n, out, skip;             // skip: columns of the first tile before the first output
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
    bulk::copy(r.a(t.stage), c.x + (p * c.x_pitch + at.row) * panels::COLS, A_BYTES, full);
    bulk::copy(r.b(t.stage), c.w + (p * c.w_pitch + at.col) * panels::COLS, B_BYTES, full);
  }
}

// compute sums 64 rows of the tile over all panels. A stage is given back when the products with the
// next one have been issued, so that the tensor cores never wait for this.
DEVICE void compute(wgmma::Sums<COLS>& sums, i64 count, const Ring& r, int consumer) {
  mbarrier::Turn<STAGES> t;
  int last = 0;
  for (i64 p = 0; p < count; p++, t.next()) {
    mbarrier::wait(mbarrier::at(r.full, t.stage), t.parity);
    const uint32_t a = r.a(t.stage) + consumer * 64 * panels::ROW_BYTES, b = r.b(t.stage);
    wgmma::hold(sums);
    wgmma::fence();
    UNROLL
    for (int k = 0; k < panels::COLS; k += 16)
      wgmma::multiply<COLS>(sums, wgmma::panel(a, k), wgmma::panel(b, k), p > 0 || k > 0);
    wgmma::commit();
    wgmma::hold(sums);
    wgmma::wait<1>();
    if (p > 0 && threadIdx.x % 32 == 0) mbarrier::arrive(mbarrier::at(r.empty, last));
    last = t.stage;
  }
  wgmma::wait<0>();
  wgmma::hold(sums);
}

// finish hands the warpgroup's sums to the epilogue.
template <class K>
DEVICE void finish(wgmma::Sums<COLS>& sums, const Call& c, const Place& at, int consumer,
                   const Epilogue& ep) {
  const int thread = threadIdx.x % warpgroup::THREADS, lane = thread % 32;
  const linear::Area area = {at.row + 64 * consumer + thread / 32 * 16 + lane / 4, c.n,
                             at.col + lane % 4 * 2 - c.skip, c.out, 0, 64};
  float s[COLS / 2];
  UNROLL
  for (int e = 0; e < COLS / 2; e++) s[e] = sums[e];
  linear::finish_as<K, COLS / 64, operand::PANELS>(s, ep, area);
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
  const Place at = place(c);
  begin(r);
  const int group = warpgroup::index();
  if (group == CONSUMERS) {
    warpgroup::less<40>();
    if (threadIdx.x % warpgroup::THREADS == 0) load(c, r, at);
  } else {
    warpgroup::more<232>();
    wgmma::Sums<COLS> sums;
    compute(sums, c.count, r, group);
    finish<K>(sums, c, at, group, ep);
  }
}

#if HOPPER
#define RUN(K) \
  run<K>({x, w, x_pitch, w_pitch, count, n, out, skip}, \
         {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index, residual, ld_residual, form})
#else
#define RUN(K) absent()
#endif
// x: panels of [n, in]; w: those of [out, in], from a multiple of 8 outputs on, `skip` before the
// first. grid: ceil(n / 128) · ceil((skip + out) / 256)
#define LINEAR_V3(name, K)                                                                        \
  KERNEL_ALONE(THREADS, name)                                                                     \
  (const bf16* x, i64 x_pitch, const bf16* w, i64 w_pitch, i64 n, i64 count, i64 out, i64 skip,   \
   float* dst, i64 ld, const float* bias, i64 act, const float* mul, i64 ld_mul,                  \
   const float* gate, i64 ld_gate, const int* index, const float* residual, i64 ld_residual,      \
   i64 form) {                                                                                    \
    RUN(K);                                                                                       \
  }                                                                                               \
  LAUNCHABLE(THREADS, name)

LINEAR_V3(linear_v3, linear::Any)
LINEAR_V3(linear_v3_plain, linear::Plain)
LINEAR_V3(linear_v3_active, linear::Active)
LINEAR_V3(linear_v3_residual, linear::Residual)
LINEAR_V3(linear_v3_gated, linear::Gated)

}  // namespace linear3
