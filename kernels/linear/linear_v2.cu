// Linear layers, v2: dst = ep(x·wᵀ + bias) on tensor cores, with x and w in bfloat16 and sums in
// float32. A block computes 128 x 128 elements, a warp 64 x 64 of them; steps of k arrive by
// asynchronous copies, two ahead of the one at work. An element is summed in the same order,
// whatever tile it is in and how many rows there are. See README.md.
#include "../include/mma.h"
#include "finish.h"

namespace linear {
namespace v2 {

constexpr int PACK_THREADS = 256;
constexpr int TILE = 128;     // rows and columns of a block
constexpr int THREADS = 128;  // of a block: 2 x 2 warps
constexpr int WARP = 64;      // rows and columns of a warp
constexpr int DEPTH = 32;     // of k in a stage
constexpr int STAGES = 3;
constexpr int HALF = TILE * DEPTH;  // elements of one operand in a stage
constexpr int DOWN = WARP / 16, ACROSS = WARP / 8;  // products of a warp

// Matrix is [rows, depth], depth a multiple of 8.
struct Matrix {
  const bf16* at;
  i64 rows, depth;
};

// Sums is what a thread accumulates, as the fragments of its warp's products.
struct Sums {
  float of[DOWN][ACROSS][4];  // 16 rows after 16 rows, which are slabs to the epilogue
};

// place is where 8 elements of a row of a stage are. Rows take 64 bytes; the order of their chunks
// turns with the row, so that any 8 rows of the same chunk lie in different banks.
DEVICE int place(int row, int chunk) { return row * DEPTH + (chunk ^ (row / 2 % 4)) * 8; }

// load starts the copies of k0 to k0+DEPTH of 128 rows; what is not there becomes zeros.
DEVICE void load(Shared<bf16> to, const Matrix& m, i64 row0, i64 k0) {
  const int chunk = threadIdx.x % 4;
  const i64 k = k0 + 8 * chunk;
  UNROLL
  for (int i = 0; i < TILE / (THREADS / 4); i++) {
    const int r = threadIdx.x / 4 + i * (THREADS / 4);
    const bool there = row0 + r < m.rows && k < m.depth;
    copy16(to + place(r, chunk), m.at + (there ? (row0 + r) * m.depth + k : 0), there ? 16 : 0);
  }
}

// compute adds a stage's products: rows a are the warp's of x, rows b those of w.
DEVICE void compute(Sums& s, Shared<bf16> a, Shared<bf16> b) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int k = 0; k < DEPTH / 16; k++) {
    Fragment<4> x[DOWN], w[ACROSS / 2];
    UNROLL
    for (int m = 0; m < DOWN; m++)
      x[m] = load_matrices(a + place(16 * m + lane % 16, 2 * k + lane / 16));
    UNROLL
    for (int n = 0; n < ACROSS / 2; n++)
      w[n] = load_matrices(b + place(16 * n + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
    UNROLL
    for (int m = 0; m < DOWN; m++) {
      UNROLL
      for (int n = 0; n < ACROSS; n++)
        multiply_add(s.of[m][n], x[m], w[n / 2].of[n % 2 * 2], w[n / 2].of[n % 2 * 2 + 1]);
    }
  }
}

// multiply runs through k: the copies of a stage begin when all threads are done with what was in
// its place, and two stages are under way while one is at work.
DEVICE void multiply(Sums& s, Shared<bf16> stages, const Matrix& x, const Matrix& w, i64 row0,
                     i64 col0, bool idle) {
  const i64 steps = (x.depth + DEPTH - 1) / DEPTH;
  const int down = threadIdx.x / 64 * WARP * DEPTH, across = threadIdx.x / 32 % 2 * WARP * DEPTH;
  for (int i = 0; i < STAGES - 1; i++) {
    load(stages + i * 2 * HALF, x, row0, i * DEPTH);
    load(stages + i * 2 * HALF + HALF, w, col0, i * DEPTH);
    commit_copies();
  }
  for (i64 step = 0; step < steps; step++) {
    wait_copies<STAGES - 2>();
    __syncthreads();
    const i64 next = step + STAGES - 1;
    const Shared<bf16> at = stages + step % STAGES * 2 * HALF;
    const Shared<bf16> to = stages + next % STAGES * 2 * HALF;
    if (next < steps) {
      load(to, x, row0, next * DEPTH);
      load(to + HALF, w, col0, next * DEPTH);
    }
    commit_copies();
    if (!idle) compute(s, at + down, at + HALF + across);
  }
  wait_copies<0>();
}

// Tile is a block's, in tiles.
struct Tile {
  i64 down, across;
};

// tile_of deals tiles to blocks so that those at work at the same time share rows and columns: 16
// tiles down, then the next 16 next to them.
DEVICE Tile tile_of() {
  const i64 group = 16, block = (i64)blockIdx.y * gridDim.x + blockIdx.x, all = group * gridDim.y;
  const i64 first = block / all * group, left = gridDim.x - first;
  const i64 high = left < group ? left : group;
  return {first + block % all % high, block % all / high};
}

}  // namespace v2

// pack_v2: dst [rows, groups, wide] = x [rows, groups, width] rounded, with zeros from width on. wide
// is a multiple of 8; a thread makes 16 bytes. grid: ceil(rows·groups·wide / 8 / 256)
KERNEL(v2::PACK_THREADS, pack_v2)
(Sixteen* dst, i64 wide, const float* x, i64 ldx, i64 rows, i64 groups, i64 width) {
  const i64 at = (i64)blockIdx.x * v2::PACK_THREADS + threadIdx.x, pieces = wide / 8;
  const i64 row = at / pieces / groups, group = at / pieces % groups;
  if (row < rows) dst[at] = rounded_eight(x + row * ldx + group * width, at % pieces * 8, width);
}
LAUNCHABLE(v2::PACK_THREADS, pack_v2)

namespace v2 {

// run computes the block's tile; K is the kind of its epilogue.
template <class K> DEVICE void run(const Matrix& x, const Matrix& w, const Epilogue& ep) {
  DYNAMIC(bf16, stages, STAGES * 2 * HALF);
  const Tile tile = tile_of();
  const i64 row0 = tile.down * TILE, col0 = tile.across * TILE;
  const i64 row = row0 + threadIdx.x / 64 * WARP, col = col0 + threadIdx.x / 32 % 2 * WARP;
  Sums s = {};
  multiply(s, stages, x, w, row0, col0, row >= x.rows || col >= w.rows);
  const int lane = threadIdx.x % 32;
  const Area area = {row + lane / 4, x.rows, col + lane % 4 * 2, w.rows, 16, 0};
  finish_as<K, DOWN, operand::ROWS>(reinterpret_cast<float(&)[DOWN * SLAB]>(s), ep, area);
}

}  // namespace v2

// x: [n, in], w: [out, in], both bfloat16; in is a multiple of 8. grid: (ceil(n / 128),
// ceil(out / 128))
#define LINEAR_V2(name, K)                                                                        \
  KERNEL(v2::THREADS, name)                                                                       \
  (const bf16* x, const bf16* w, i64 n, i64 in, i64 out, float* dst, i64 ld, const float* bias,   \
   i64 act, const float* mul, i64 ld_mul, const float* gate, i64 ld_gate, const int* index,       \
   const float* residual, i64 ld_residual, i64 form) {                                            \
    v2::run<K>({x, n, in}, {w, out, in}, {dst, ld, bias, act, mul, ld_mul, gate, ld_gate, index,  \
                                          residual, ld_residual, form});                          \
  }                                                                                               \
  LAUNCHABLE(v2::THREADS, name)

LINEAR_V2(linear_v2, Any)
LINEAR_V2(linear_v2_plain, Plain)
LINEAR_V2(linear_v2_active, Active)
LINEAR_V2(linear_v2_residual, Residual)
LINEAR_V2(linear_v2_gated, Gated)

}  // namespace linear
