// Causal 3D convolution, v3: Hopper's wgmma. One warpgroup finds voxels and copies them, two multiply
// 64 voxels each by all columns of the tile. A sum is one accumulator's, walked over k in the order of
// walk.h. See README.md.
#include "../include/bulk.h"
#include "../include/panels.h"
#include "walk.h"

namespace convolution {
namespace v3 {

constexpr int CONSUMERS = 2;
constexpr int THREADS = (CONSUMERS + 1) * warpgroup::THREADS;
constexpr int A_BYTES = ROWS * BLOCK_BYTES;

// Shape is a kernel's: columns of a tile, stages in shared memory, whether numbers are two halves.
template <int COLS_, int STAGES_, bool SPLIT_> struct Shape {
  static constexpr int COLS = COLS_, STAGES = STAGES_;
  static constexpr bool SPLIT = SPLIT_;
  static constexpr int B_BYTES = COLS * BLOCK_BYTES, BYTES = STAGES * (A_BYTES + B_BYTES);
  // How many stages' copies are under way when one is waited for. A consumer gives a stage back once
  // it has the next one, so one more would wait for itself.
  static constexpr int AHEAD = STAGES - 2;
};

// Ring is the stages, and the barriers that say which are full and which are empty.
template <class S> struct Ring {
  uint32_t tiles;
  mbarrier::Row full, empty;
  DEVICE_MEMBER uint32_t a(int stage) const { return tiles + stage * (A_BYTES + S::B_BYTES); }
  DEVICE_MEMBER uint32_t b(int stage) const { return a(stage) + A_BYTES; }
  // hand_over tells the consumers of a stage whose copies the thread has waited for. wgmma reads
  // through the async proxy, the copies wrote through the generic one.
  DEVICE_MEMBER void hand_over(int stage) const {
    bulk::fence();
    mbarrier::arrive(mbarrier::at(full, stage));
  }
};

// Place is where a stage's voxels go.
struct Place {
  uint32_t at;
  DEVICE_MEMBER void operator()(int piece, const bf16* from, int bytes) const {
    copy16_near(at + piece * 16, from, bytes);
  }
};

// load brings stage after stage, as they become empty: all threads the voxels, one the weights.
template <class S>
DEVICE void load(const Ring<S>& r, const Grid& g, const Tile& tile, const bf16* x, const bf16* weight,
                 i64 pitch) {
  const int thread = threadIdx.x % warpgroup::THREADS, count = stages(g);
  Reader<warpgroup::THREADS, S::SPLIT> reader(g, tile, thread);
  Stage s = {0, 0, 0, 0};
  reader.aim(g, tile, s);
  mbarrier::Turn<S::STAGES> t, landed;
  for (int n = 0; n < count; n++, t.next()) {
    mbarrier::wait(mbarrier::at(r.empty, t.stage), t.parity ^ 1);
    if (thread == 0) {
      const mbarrier::One full = mbarrier::at(r.full, t.stage);
      mbarrier::expect(full, S::B_BYTES);
      bulk::copy(r.b(t.stage), weight + (n * pitch + tile.col) * BLOCK, S::B_BYTES, full);
    }
    reader.read(g, s, x, Place{r.a(t.stage)});
    commit_copies();
    if (next(s, g)) reader.aim(g, tile, s);
    if (n < S::AHEAD) continue;
    wait_copies<S::AHEAD>();
    r.hand_over(landed.stage);
    landed.next();
  }
  wait_copies<0>();
  for (int n = count < S::AHEAD ? count : S::AHEAD; n > 0; n--, landed.next())
    r.hand_over(landed.stage);
}

// step multiplies 16 channels: high·high, high·low, low·high.
template <class S>
DEVICE void step(wgmma::Sums<S::COLS>& sums, uint32_t a, uint32_t b, int k, bool add) {
  wgmma::multiply<S::COLS>(sums, wgmma::panel(a, k), wgmma::panel(b, k), add);
  if (!S::SPLIT) return;
  constexpr int LOW = BLOCK / 2;
  wgmma::multiply<S::COLS>(sums, wgmma::panel(a, k), wgmma::panel(b, LOW + k), true);
  wgmma::multiply<S::COLS>(sums, wgmma::panel(a, LOW + k), wgmma::panel(b, k), true);
}

// block multiplies a stage's first STEPS steps, as a group: in one run of instructions, for a branch
// among them would make groups of its own.
template <class S, int STEPS>
DEVICE void block(wgmma::Sums<S::COLS>& sums, uint32_t a, uint32_t b, bool add) {
  UNROLL
  for (int k = 0; k < STEPS; k++) step<S>(sums, a, b, 16 * k, add || k > 0);
  wgmma::commit();
}

// compute sums 64 voxels of the tile over all stages. A stage is given back when the products with the
// next one have been issued.
template <class S>
DEVICE void compute(wgmma::Sums<S::COLS>& sums, const Ring<S>& r, const Grid& g, int consumer) {
  constexpr int STEPS = block_channels(S::SPLIT) / 16;
  const int count = stages(g);
  mbarrier::Turn<S::STAGES> t;
  Stage s = {0, 0, 0, 0};
  int last = 0;
  for (int n = 0; n < count; n++, t.next(), next(s, g)) {
    mbarrier::wait(mbarrier::at(r.full, t.stage), t.parity);
    const uint32_t a = r.a(t.stage) + consumer * 64 * BLOCK_BYTES, b = r.b(t.stage);
    wgmma::hold(sums);
    wgmma::fence();
    if (steps(s, g, STEPS) == STEPS) block<S, STEPS>(sums, a, b, n > 0);
    else if (S::SPLIT || g.last == 1) block<S, 1>(sums, a, b, n > 0);
    else if (g.last == 2) block<S, 2>(sums, a, b, n > 0);
    else block<S, 3>(sums, a, b, n > 0);
    wgmma::hold(sums);
    wgmma::wait<1>();
    if (n > 0 && threadIdx.x % 32 == 0) mbarrier::arrive(mbarrier::at(r.empty, last));
    last = t.stage;
  }
  wgmma::wait<0>();
  wgmma::hold(sums);
}

// finish stores a consumer's sums from its registers: four lanes have 32 bytes of a row.
template <class S>
DEVICE void finish(wgmma::Sums<S::COLS>& s, const Output& o, const Grid& g, const Tile& tile,
                   int consumer) {
  constexpr int PAIRS = 4;
  const int lane = threadIdx.x % 32, warp = threadIdx.x % warpgroup::THREADS / 32;
  UNROLL
  for (int i = 0; i < 2; i++) {
    const int r = 64 * consumer + 16 * warp + lane / 4 + 8 * i;
    if (r >= tile.voxels) continue;
    UNROLL
    for (int j = 0; j < S::COLS / 8; j += PAIRS) {
      Two sums[PAIRS];
      UNROLL
      for (int c = 0; c < PAIRS; c++) sums[c] = {s[4 * (j + c) + 2 * i], s[4 * (j + c) + 2 * i + 1]};
      o.finish<PAIRS>((i64)tile.t * g.out_h * g.out_w + tile.voxel + r,
                      tile.col + 8 * j + lane % 4 * 2, sums);
    }
  }
}

// begin makes the barriers: a stage is full when the loader's threads have come and the weights are
// there, and empty when the warps of those consumers have come that have voxels.
template <class S> DEVICE void begin(const Ring<S>& r, int consumers) {
  if (threadIdx.x == 0) {
    for (int s = 0; s < S::STAGES; s++) {
      mbarrier::init(mbarrier::at(r.full, s), warpgroup::THREADS + 1);
      mbarrier::init(mbarrier::at(r.empty, s), consumers * 4);
    }
    bulk::fence();
  }
  __syncthreads();
}

template <class S>
DEVICE void convolve(const Ring<S>& r, const Grid& g, const Output& o, const bf16* x,
                     const bf16* weight, i64 pitch) {
  const Tile tile = tile_of(g, S::COLS);
  const int consumers = tile.voxels > 64 ? 2 : 1, group = warpgroup::index();
  begin(r, consumers);
  if (group == CONSUMERS) {
    load(r, g, tile, x, weight, pitch);
  } else if (group < consumers) {
    wgmma::Sums<S::COLS> sums;
    compute(sums, r, g, group);
    finish<S>(sums, o, g, tile, group);
  }
}

// Few and narrow ones leave room for a second block on the multiprocessor, whose products hide what this one
// does before and after its own; wide tiles fill it alone.
typedef Shape<32, 4, true> Few;
typedef Shape<96, 3, true> Narrow;
typedef Shape<192, 5, true> Wide;
typedef Shape<32, 4, false> FewBF16;
typedef Shape<96, 3, false> NarrowBF16;
typedef Shape<192, 5, false> WideBF16;

}  // namespace v3

#if HOPPER
#define CONV_V3(S)                          \
  TILES(tiles, S::BYTES);                   \
  MBARRIERS(full, S::STAGES);               \
  MBARRIERS(empty, S::STAGES);              \
  v3::convolve(v3::Ring<S>{tiles, full, empty}, CONV_GRID, CONV_OUTPUT, x, weight, pitch)
#else
#define CONV_V3(S) absent()
#endif

// As conv_v2.
KERNEL(v3::THREADS, conv_v3_32)(CONV_PARAMETERS) { CONV_V3(v3::Few); }
LAUNCHABLE(v3::THREADS, conv_v3_32)

KERNEL(v3::THREADS, conv_v3_96)(CONV_PARAMETERS) { CONV_V3(v3::Narrow); }
LAUNCHABLE(v3::THREADS, conv_v3_96)

KERNEL_ALONE(v3::THREADS, conv_v3_192)(CONV_PARAMETERS) { CONV_V3(v3::Wide); }
LAUNCHABLE(v3::THREADS, conv_v3_192)

KERNEL(v3::THREADS, conv_v3_32_bf16)(CONV_PARAMETERS) { CONV_V3(v3::FewBF16); }
LAUNCHABLE(v3::THREADS, conv_v3_32_bf16)

KERNEL(v3::THREADS, conv_v3_96_bf16)(CONV_PARAMETERS) { CONV_V3(v3::NarrowBF16); }
LAUNCHABLE(v3::THREADS, conv_v3_96_bf16)

KERNEL_ALONE(v3::THREADS, conv_v3_192_bf16)(CONV_PARAMETERS) { CONV_V3(v3::WideBF16); }
LAUNCHABLE(v3::THREADS, conv_v3_192_bf16)

}  // namespace convolution
