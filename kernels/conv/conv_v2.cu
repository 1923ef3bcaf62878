// Causal 3D convolution, v2: an implicit product on the tensor cores of sm_80 and newer (mma), fed by
// asynchronous copies. A block of threads computes 128 voxels x 96 or 32 outputs, a warp 32 x 48 or 16.
// A sum is one accumulator's, walked over k in the order of walk.h. See README.md.
#include "../include/mma.h"
#include "walk.h"

namespace convolution {
namespace v2 {

constexpr int THREADS = 256;  // 4 x 2 warps
constexpr int DOWN = 2;       // products of a warp, each of 16 voxels
constexpr int STAGES = 3;
constexpr int A = ROWS * BLOCK;  // elements of a stage's voxels

// Shape is a kernel's: columns of a tile, and whether numbers are two halves.
template <int COLS_, bool SPLIT_> struct Shape {
  static constexpr int COLS = COLS_, ACROSS = COLS / 16;  // products of a warp, each of 8 outputs
  static constexpr bool SPLIT = SPLIT_;
  static constexpr int STAGE = A + COLS * BLOCK;  // elements
};

template <class S> struct Sums {
  float of[DOWN][S::ACROSS][4];
};

// Place is where a stage's voxels go.
struct Place {
  Shared<bf16> at;
  DEVICE_MEMBER void operator()(int piece, const bf16* from, int bytes) const {
    copy16_near(at + piece * 8, from, bytes);
  }
};

// load starts the copies of a stage: voxels, and the weights of the tile's outputs as they lie.
template <class S>
DEVICE void load(Shared<bf16> to, const Reader<THREADS, S::SPLIT>& r, const Grid& g, const Stage& s,
                 const bf16* x, const bf16* weight) {
  r.read(g, s, x, Place{to});
  UNROLL
  for (int i = threadIdx.x; i < S::COLS * PIECES; i += THREADS)
    copy16(to + A + i * 8, weight + i * 8, 16);
}

// fragments brings 16 channels, from a piece on, of N·16 rows: the lane's row of 16, and which half of
// the channels it has.
template <int N>
DEVICE void fragments(Fragment<4>* f, Shared<bf16> from, int row0, int piece, int row, int half) {
  UNROLL
  for (int i = 0; i < N; i++)
    f[i] = load_matrices(from + piece_at(row0 + 16 * i + row, piece + half) * 8);
}

template <class S> DEVICE void products(Sums<S>& s, const Fragment<4>* a, const Fragment<4>* b) {
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int n = 0; n < S::ACROSS; n++)
      multiply_add(s.of[m][n], a[m], b[n / 2].of[n % 2 * 2], b[n / 2].of[n % 2 * 2 + 1]);
  }
}

// compute adds a stage's products: high·high, high·low, low·high for each step of 16 channels.
template <class S>
DEVICE void compute(Sums<S>& sums, Shared<bf16> at, int down, int across, int steps) {
  constexpr int HALF = PIECES / 2, PAIRS = S::ACROSS / 2;
  const int lane = threadIdx.x % 32, row = lane % 16, col = lane / 16 * 8 + lane % 8;
  for (int k = 0; k < steps; k++) {
    Fragment<4> a[DOWN], b[PAIRS], low[PAIRS];
    fragments<DOWN>(a, at, down, 2 * k, row, lane / 16);
    fragments<PAIRS>(b, at + A, across, 2 * k, col, lane / 8 % 2);
    products(sums, a, b);
    if (!S::SPLIT) continue;
    fragments<PAIRS>(low, at + A, across, HALF + 2 * k, col, lane / 8 % 2);
    products(sums, a, low);
    fragments<DOWN>(a, at, down, HALF + 2 * k, row, lane / 16);
    products(sums, a, b);
  }
}

// multiply walks over k: the copies of a stage begin when all threads are done with what was in its
// place, and two stages are under way while one is at work.
template <class S>
DEVICE void multiply(Sums<S>& sums, Shared<bf16> stage, const Grid& g, const Tile& tile, const bf16* x,
                     const bf16* weight, i64 pitch) {
  const int down = threadIdx.x / 64 * 32, across = threadIdx.x / 32 % 2 * S::COLS / 2;
  const bool idle = down >= tile.voxels || tile.col + across >= g.out;
  const int count = stages(g), most = block_channels(S::SPLIT) / 16;
  Reader<THREADS, S::SPLIT> reader(g, tile, threadIdx.x);
  Stage ahead = {0, 0, 0, 0}, now = ahead;
  reader.aim(g, tile, ahead);
  for (int n = 1 - STAGES; n < count; n++) {
    if (n >= 0) {
      wait_copies<STAGES - 2>();
      __syncthreads();
    }
    const int begun = n + STAGES - 1;
    if (begun < count) {
      load<S>(stage + begun % STAGES * S::STAGE, reader, g, ahead, x,
              weight + (begun * pitch + tile.col) * BLOCK);
      if (next(ahead, g)) reader.aim(g, tile, ahead);
    }
    commit_copies();
    if (n < 0) continue;
    if (!idle) compute(sums, stage + n % STAGES * S::STAGE, down, across, steps(now, g, most));
    next(now, g);
  }
  wait_copies<0>();
}

template <class S>
DEVICE void finish(const Sums<S>& s, const Output& o, const Grid& g, const Tile& tile) {
  const int lane = threadIdx.x % 32, across = threadIdx.x / 32 % 2 * S::COLS / 2;
  UNROLL
  for (int m = 0; m < DOWN; m++) {
    UNROLL
    for (int i = 0; i < 2; i++) {
      const int r = threadIdx.x / 64 * 32 + 16 * m + 8 * i + lane / 4;
      Two sums[S::ACROSS];
      UNROLL
      for (int n = 0; n < S::ACROSS; n++) sums[n] = {s.of[m][n][2 * i], s.of[m][n][2 * i + 1]};
      if (r < tile.voxels)
        o.finish<S::ACROSS>((i64)tile.t * g.out_h * g.out_w + tile.voxel + r,
                            tile.col + across + lane % 4 * 2, sums);
    }
  }
}

template <class S>
DEVICE void convolve(Shared<bf16> stages, const Grid& g, const Output& o, const bf16* x,
                     const bf16* weight, i64 pitch) {
  const Tile tile = tile_of(g, S::COLS);
  Sums<S> sums = {};
  multiply(sums, stages, g, tile, x, weight, pitch);
  finish(sums, o, g, tile);
}

typedef Shape<96, true> Usual;
typedef Shape<32, true> Few;
typedef Shape<96, false> UsualBF16;
typedef Shape<32, false> FewBF16;

}  // namespace v2

#define CONV_V2(S)                                  \
  DYNAMIC(bf16, stages, v2::STAGES * S::STAGE);     \
  v2::convolve<S>(stages, CONV_GRID, CONV_OUTPUT, x, weight, pitch)

// x: operand of the input's frames, earlier ones first; weight: that of conv_weights. grid:
// out_t · ceil(out_h·out_w / 128) · ceil(out / columns)
KERNEL_ALONE(v2::THREADS, conv_v2_96)(CONV_PARAMETERS) { CONV_V2(v2::Usual); }
LAUNCHABLE(v2::THREADS, conv_v2_96)

KERNEL(v2::THREADS, conv_v2_32)(CONV_PARAMETERS) { CONV_V2(v2::Few); }
LAUNCHABLE(v2::THREADS, conv_v2_32)

KERNEL_ALONE(v2::THREADS, conv_v2_96_bf16)(CONV_PARAMETERS) { CONV_V2(v2::UsualBF16); }
LAUNCHABLE(v2::THREADS, conv_v2_96_bf16)

KERNEL(v2::THREADS, conv_v2_32_bf16)(CONV_PARAMETERS) { CONV_V2(v2::FewBF16); }
LAUNCHABLE(v2::THREADS, conv_v2_32_bf16)

}  // namespace convolution
