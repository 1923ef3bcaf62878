// simt multiplies matrices without tensor cores: the readable reference (v1) of linear layers and
// convolutions. A block computes 64 x 64 elements of c = a·bᵀ, a thread 4 x 4 of them. An element is
// one sum over k from 0 on, one fused multiply-add per step, whatever its tile: its bits depend on
// its row of a and its row of b alone.
#pragma once

namespace simt {

constexpr int TILE = 64;     // rows and columns of a block's tile
constexpr int DEPTH = 16;    // steps of k between two barriers
constexpr int EACH = 4;      // rows and columns of a thread
constexpr int THREADS = 256; // of a block
constexpr int PITCH = TILE + 4;  // of a row of shared memory: stores of 16 steps hit 16 banks

// Sums is what a thread accumulates.
struct Sums {
  float of[EACH][EACH];
};

// load brings steps [k0, k0+DEPTH) of 64 rows of a matrix to shared memory, transposed to
// [DEPTH, PITCH]. m.at(row, k) is an element; beyond rows and depth there are zeros.
template <class M>
DEVICE void load(Shared<float> to, const M& m, i64 row0, i64 rows, i64 k0, i64 depth) {
  const int step = threadIdx.x % DEPTH;
  for (int r = threadIdx.x / DEPTH; r < TILE; r += THREADS / DEPTH) {
    const i64 row = row0 + r, k = k0 + step;
    to[step * PITCH + r] = row < rows && k < depth ? m.at(row, k) : 0.0f;
  }
}

// Walk is how a thread goes through a matrix, tile by tile. A matrix whose elements take work to
// find has its own.
template <class M> struct Walk {
  M m;
  i64 row0, rows, depth;
  DEVICE_MEMBER Walk(const M& m, i64 row0, i64 rows, i64 depth)
      : m(m), row0(row0), rows(rows), depth(depth) {}
  DEVICE_MEMBER void load_tile(Shared<float> to, i64 k0) const {
    load(to, m, row0, rows, k0, depth);
  }
};

// compute adds the tile's steps to the sums of rows [y, y+4) and columns [x, x+4) of the tile.
DEVICE void compute(Sums& s, Shared<float> a, Shared<float> b, int y, int x) {
  UNROLL
  for (int k = 0; k < DEPTH; k++) {
    float u[EACH], v[EACH];
    for (int i = 0; i < EACH; i++) u[i] = a[k * PITCH + y + i];
    for (int j = 0; j < EACH; j++) v[j] = b[k * PITCH + x + j];
    for (int i = 0; i < EACH; i++)
      for (int j = 0; j < EACH; j++) s.of[i][j] = fmaf(u[i], v[j], s.of[i][j]);
  }
}

// multiply computes the block's tile of a [rows, depth] times b [cols, depth], transposed, and
// hands every element to finish(row, col, sum).
template <class A, class B, class F>
DEVICE void multiply(const A& a, const B& b, i64 rows, i64 cols, i64 depth, const F& finish) {
  SHARED(float, tile_a, DEPTH * PITCH);
  SHARED(float, tile_b, DEPTH * PITCH);
  const i64 row0 = (i64)blockIdx.x * TILE, col0 = (i64)blockIdx.y * TILE;
  const int y = threadIdx.x / (TILE / EACH) * EACH, x = threadIdx.x % (TILE / EACH) * EACH;
  const bool idle = row0 + y >= rows || col0 + x >= cols;
  Sums s = {};
  Walk<A> walk_a(a, row0, rows, depth);
  Walk<B> walk_b(b, col0, cols, depth);
  for (i64 k0 = 0; k0 < depth; k0 += DEPTH) {
    walk_a.load_tile(tile_a, k0);
    walk_b.load_tile(tile_b, k0);
    __syncthreads();
    if (!idle) compute(s, tile_a, tile_b, y, x);
    __syncthreads();
  }
  UNROLL
  for (int i = 0; i < EACH; i++) {
    UNROLL
    for (int j = 0; j < EACH; j++)
      if (row0 + y + i < rows && col0 + x + j < cols) finish(row0 + y + i, col0 + x + j, s.of[i][j]);
  }
}

}  // namespace simt
