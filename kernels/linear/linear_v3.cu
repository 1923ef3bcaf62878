// Linear layers, v3: Hopper's wgmma, fed by bulk copies. See README.md.
#include "../include/cluster.h"
#include "../include/panels.h"
#include "finish.h"

namespace linear3 {

using linear::Epilogue;

constexpr int ROWS = 128, COLS = 256;       // of a block's tile
constexpr int STAGES = 4;                   // panels in shared memory
constexpr int CONSUMERS = 2;                // warpgroups of 64 rows each; one more loads
constexpr int THREADS = (CONSUMERS + 1) * warpgroup::THREADS;
constexpr int A_BYTES = ROWS * panels::ROW_BYTES, B_BYTES = COLS * panels::ROW_BYTES;
constexpr int BYTES = STAGES * (A_BYTES + B_BYTES);
static_assert(BYTES + 1024 <= 232448, "what a block may have");
constexpr int PACK_THREADS = 256;

// pack_v3: panels of x [rows, cols], each of `pitch` rows, a multiple of 8, and `tail` rows of
// zeros after the last; then those of the next `cols` columns of x, and so on for as many as the
// grid is high. A thread makes 16 bytes. grid: (ceil((panels·pitch + tail)·8 / 256), heads)
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

#if HOPPER

constexpr int CLUSTER = 2;  // blocks that share the columns of a tile
constexpr int GROUP = 8;    // pairs of tiles of rows that are walked together

// Call is what all blocks work on. x and w are panels, with so many rows from one to the next.
struct Call {
  const bf16 *x, *w;
  i64 x_pitch, w_pitch, count;  // count: panels
  i64 n, out, skip;             // skip: columns of the first tile before the first output
};

// Walk is a cluster's way over tiles: one after the other, as many further on as there are
// clusters. The blocks of a cluster have tiles of the same columns, one below the other. Clusters
// take GROUP pairs down, then the next columns, so that those at work at one time share what they
// read. All numbers fit 32 bits: a launch has fewer tiles.
struct Walk {
  uint32_t tile, step, all;     // pairs of tiles
  uint32_t down, high, across;  // tiles of rows, pairs of them, tiles of columns

  DEVICE_MEMBER Walk(const Call& c)
      : tile(blockIdx.x / CLUSTER), step(gridDim.x / CLUSTER),
        down((uint32_t)((c.n + ROWS - 1) / ROWS)), high((down + CLUSTER - 1) / CLUSTER),
        across((uint32_t)((c.out + c.skip + COLS - 1) / COLS)) {
    all = high * across;
  }

  DEVICE_MEMBER bool more() const { return tile < all; }
  DEVICE_MEMBER void next() { tile += step; }
};

// Place is the first row and column of a block's tile.
struct Place {
  i64 row, col;
  bool there;  // false: below the last row, and only the other block of the cluster has a tile
};

DEVICE Place place(const Walk& w, int rank) {
  const uint32_t group = w.tile / (GROUP * w.across), in = w.tile % (GROUP * w.across);
  const uint32_t left = w.high - group * GROUP, high = left < GROUP ? left : GROUP;
  const uint32_t row = (group * GROUP + in % high) * CLUSTER + rank;
  return {(i64)row * ROWS, (i64)(in / high) * COLS, row < w.down};
}

// Ring is the stages, and the barriers that say which are full and which are empty, in both blocks.
struct Ring {
  uint32_t tiles;
  mbarrier::Row full, empty;
  DEVICE_MEMBER uint32_t a(int stage) const { return tiles + stage * (A_BYTES + B_BYTES); }
  DEVICE_MEMBER uint32_t b(int stage) const { return a(stage) + A_BYTES; }
};

typedef mbarrier::Turn<STAGES> Turn;

// Ahead fetches a tile of what the epilogue will add into the L2, row by row beside the panels, so
// that the memory works while products are made.
struct Ahead {
  const float* at;  // of the tile, null: there is nothing to fetch
  i64 ld, rows;
  uint32_t bytes;

  DEVICE_MEMBER Ahead(const Call& c, const Place& p, const Epilogue& ep) {
    const i64 first = p.col < c.skip ? 0 : p.col - c.skip, end = p.col + COLS - c.skip;
    at = ep.residual + p.row * ep.ld_residual + first;
    ld = ep.ld_residual;
    rows = c.n - p.row < ROWS ? c.n - p.row : ROWS;
    bytes = 4 * (uint32_t)((end < c.out ? end : c.out) - first);
    if (!p.there || ((uint64_t)at | 4 * ld | bytes) % 16 != 0) at = nullptr;
  }

  // share fetches the rows that belong to panel p of so many.
  DEVICE_MEMBER void share(uint32_t p, uint32_t count) const {
    if (at == nullptr) return;
    for (uint32_t r = ROWS * p / count; r < ROWS * (p + 1) / count && r < rows; r++)
      bulk::prefetch(at + r * ld, bytes);
  }
};

// load brings panel after panel of a tile's rows and columns, as stages become empty in both
// blocks: the rows are this block's own, and of the columns each block brings one half to both. One
// thread.
template <class K>
DEVICE void load(const Call& c, const Ring& r, Turn& t, const Place& at, const Epilogue& ep) {
  const int rank = cluster::rank<CLUSTER>();
  const i64 col = at.col + rank * (COLS / CLUSTER);
  const uint32_t half = rank * (B_BYTES / CLUSTER);
  const Ahead ahead(c, at, ep);
  ROLLED
  for (i64 p = 0; p < c.count; p++, t.next()) {
    mbarrier::wait(mbarrier::at(r.empty, t.stage), t.parity ^ 1);
    const mbarrier::One full = mbarrier::at(r.full, t.stage);
    mbarrier::expect(full, at.there ? A_BYTES + B_BYTES : B_BYTES);
    if (at.there)
      bulk::copy(r.a(t.stage), c.x + (p * c.x_pitch + at.row) * panels::COLS, A_BYTES, full);
    bulk::copy_to_all(r.b(t.stage) + half, c.w + (p * c.w_pitch + col) * panels::COLS,
                      B_BYTES / CLUSTER, full, (1 << CLUSTER) - 1);
    if (K::RESIDUAL == linear::ALWAYS) ahead.share((uint32_t)p, (uint32_t)c.count);
  }
}

// give_back tells both loaders that the warp is done with a stage.
DEVICE void give_back(const Ring& r, int stage) {
  const int lane = threadIdx.x % 32;
  if (lane < CLUSTER) mbarrier::arrive_at(mbarrier::at(r.empty, stage), lane);
}

// compute sums 64 rows of a tile over all panels. A stage is given back when the products with the
// next one have been issued, so that the tensor cores never wait for this.
DEVICE void compute(wgmma::Sums<COLS>& sums, i64 count, const Ring& r, Turn& t, int consumer) {
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
    if (p > 0) give_back(r, last);
    last = t.stage;
  }
  wgmma::wait<0>();
  wgmma::hold(sums);
  give_back(r, last);
}

// finish hands the warpgroup's sums to the epilogue, while the loader fills the stages for what
// comes next.
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

// pass gives back what the other block of the cluster alone needs.
DEVICE void pass(i64 count, const Ring& r, Turn& t) {
  for (i64 p = 0; p < count; p++, t.next()) {
    mbarrier::wait(mbarrier::at(r.full, t.stage), t.parity);
    give_back(r, t.stage);
  }
}

// tile computes 64 rows of a tile. Its sums are a function's, so that the compiler knows that they
// end with it.
template <class K>
DEVICE void tile(const Call& c, const Ring& r, Turn& t, const Place& at, int consumer,
                 const Epilogue& ep) {
  if (!at.there) return pass(c.count, r, t);
  wgmma::Sums<COLS> sums;
  compute(sums, c.count, r, t, consumer);
  finish<K>(sums, c, at, consumer, ep);
}

// begin makes the barriers. A stage is empty when the warps of both blocks have given it back.
DEVICE void begin(const Ring& r) {
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier::init(mbarrier::at(r.full, s), 1);
      mbarrier::init(mbarrier::at(r.empty, s), CLUSTER * CONSUMERS * 4);
    }
    bulk::fence();
    mbarrier::announce();
  }
  cluster::sync();
}

// run computes the block's tiles; K is the kind of their epilogue.
template <class K> DEVICE void run(const Call& c, const Epilogue& ep) {
  TILES(tiles, BYTES);
  MBARRIERS(full, STAGES);
  MBARRIERS(empty, STAGES);
  const Ring r = {tiles, full, empty};
  begin(r);
  const int group = warpgroup::index(), rank = cluster::rank<CLUSTER>();
  Turn t;
  if (group == CONSUMERS) {
    warpgroup::less<40>();
    if (threadIdx.x % warpgroup::THREADS == 0)
      for (Walk w(c); w.more(); w.next()) load<K>(c, r, t, place(w, rank), ep);
  } else {
    warpgroup::more<232>();
    for (Walk w(c); w.more(); w.next()) tile<K>(c, r, t, place(w, rank), group, ep);
  }
  cluster::sync();  // the other block may still give stages back
}

#define MULTIPLY_V3(K) \
  run<K>({x, w, x_pitch, w_pitch, count, n, out, skip}, \
         {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index, residual, ld_residual, form})
#else
#define MULTIPLY_V3(K) absent()
#endif
// x: panels of [n, in]; w: those of [out, in], from a multiple of 8 outputs on, `skip` before the
// first. grid: as many blocks as work at one time, an even number
#define LINEAR_V3(name, K)                                                                        \
  KERNEL_CLUSTER(THREADS, CLUSTER, name)                                                          \
  (const bf16* x, i64 x_pitch, const bf16* w, i64 w_pitch, i64 n, i64 count, i64 out, i64 skip,   \
   float* dst, i64 ld, const float* bias, i64 act, const float* mul, i64 ld_mul,                  \
   const float* gate, i64 ld_gate, const int* index, const float* residual, i64 ld_residual,      \
   i64 form) {                                                                                    \
    MULTIPLY_V3(K);                                                                               \
  }                                                                                               \
  LAUNCHABLE_CLUSTER(THREADS, CLUSTER, name)

LINEAR_V3(linear_v3, linear::Any)
LINEAR_V3(linear_v3_plain, linear::Plain)
LINEAR_V3(linear_v3_active, linear::Active)
LINEAR_V3(linear_v3_residual, linear::Residual)
LINEAR_V3(linear_v3_gated, linear::Gated)

}  // namespace linear3
