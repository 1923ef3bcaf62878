// What v2 and v3 have in common: how a tile of output voxels finds the voxels that it reads, in which
// order it walks over k, and what it does with its sums.
//
// A tile is up to 128 voxels of one frame. k is walked line by line of the kernel (kt, kh), in it
// block by block of channels, and in that over the line's taps (kw): neighbours read almost the same
// voxels, which the multiprocessor's cache then has.
#pragma once

#include "blocks.h"

namespace convolution {

constexpr int ROWS = 128;  // voxels of a tile

// Grid says where outputs read: frame t from `front` frames before t·stride_t on, row y from pad_h
// above y·stride on, and so on. Frames are doubled in height and width where twice is 1.
struct Grid {
  int frames, front, h, w, twice;  // of the input
  int kt, kh, kw, blocks, last;    // last: steps of 16 channels in the last block
  int out_t, out_h, out_w, out;
  int stride_t, stride, pad_h, pad_w;
};

// Tile is where a block of threads begins: a frame, a voxel of it, a column. Column is fastest, then
// the frame, so that blocks at work at one time share what they read in the L2.
struct Tile {
  int t, voxel, voxels, col;
};

DEVICE Tile tile_of(const Grid& g, int cols) {
  const int across = (g.out + cols - 1) / cols, plane = g.out_h * g.out_w;
  const int at = (int)(blockIdx.x / across), voxel = at / g.out_t * ROWS;
  return {at % g.out_t, voxel, plane - voxel, (int)(blockIdx.x % across) * cols};
}

// Stage is a step of the walk over k.
struct Stage {
  int kt, kh, block, kw;
};

// next goes on, and says whether a line of the kernel ends.
DEVICE bool next(Stage& s, const Grid& g) {
  if (++s.kw < g.kw) return false;
  s.kw = 0;
  if (++s.block < g.blocks) return false;
  s.block = 0;
  if (++s.kh < g.kh) return true;
  s.kh = 0;
  s.kt++;
  return true;
}

DEVICE int stages(const Grid& g) { return g.kt * g.kh * g.blocks * g.kw; }

// steps is how many steps of 16 channels a block of so many has at a stage.
DEVICE int steps(const Stage& s, const Grid& g, int most) {
  return s.block == g.blocks - 1 ? g.last : most;
}

// Reader copies a tile's voxels, stage by stage; each of THREADS threads has one piece of some rows.
// Rows of a half of the tile that has no voxels, and pieces that no step multiplies, are left out.
template <int THREADS, bool SPLIT> struct Reader {
  static constexpr int APART = THREADS / PIECES;  // rows from one of a thread to the next
  static constexpr int EACH = ROWS / APART;
  int y[EACH], z[EACH];  // where the rows' windows begin
  int line[EACH];        // the voxel that the line of input begins with; -1: there is none
  int row, piece, rows;

  DEVICE_MEMBER Reader(const Grid& g, const Tile& tile, int thread)
      : row(thread / PIECES), piece(thread % PIECES), rows(tile.voxels > ROWS / 2 ? ROWS : ROWS / 2) {
    UNROLL
    for (int i = 0; i < EACH; i++) {
      const int r = row + i * APART, voxel = tile.voxel + r;
      y[i] = r < tile.voxels ? voxel / g.out_w * g.stride - g.pad_h : -(1 << 30);
      z[i] = voxel % g.out_w * g.stride - g.pad_w;
    }
  }

  // aim finds the lines of input of a line of the kernel.
  DEVICE_MEMBER void aim(const Grid& g, const Tile& tile, const Stage& s) {
    const int t = tile.t * g.stride_t - g.front + s.kt;
    UNROLL
    for (int i = 0; i < EACH; i++) {
      const int down = y[i] + s.kh;
      const bool there = t >= 0 && t < g.frames && down >= 0 && down < g.h << g.twice;
      line[i] = there ? (t * g.h + (down >> g.twice)) * g.w : -1;
    }
  }

  // read starts the copies of a stage: to(piece of shared memory, address, bytes).
  template <class To>
  DEVICE_MEMBER void read(const Grid& g, const Stage& s, const bf16* x, const To& to) const {
    if (piece % (SPLIT ? PIECES / 2 : PIECES) / 2 >= steps(s, g, PIECES)) return;
    const bf16* from = x + s.block * BLOCK + piece * 8;
    const int pitch = g.blocks * BLOCK;
    const unsigned wide = (unsigned)g.w << g.twice;
    UNROLL
    for (int i = 0; i < EACH; i++) {
      if (i * APART >= rows) break;
      const int across = z[i] + s.kw;
      const bool there = line[i] >= 0 && (unsigned)across < wide;
      const int voxel = there ? line[i] + (across >> g.twice) : 0;
      to(piece_at(row + i * APART, piece), from + (i64)voxel * pitch, there ? 16 : 0);
    }
  }
};

// Two is a pair of neighbours in memory.
struct alignas(8) Two {
  float x, y;
};

// Output is where sums go: y + bias + residual; null pointers leave a step out. dst may be residual.
struct Output {
  float* dst;
  i64 ld;
  const float* bias;
  const float* residual;
  i64 ld_residual, out;
  bool pairs;  // all rows begin at multiples of 8 bytes

  // finish stores PAIRS pairs of sums of a row, 8 columns apart.
  template <int PAIRS> DEVICE_MEMBER void finish(i64 row, int col, Two* sums) const {
    float* to = dst + row * ld + col;
    const float* more = residual + row * ld_residual + col;
    if (pairs && col + 8 * PAIRS - 6 <= out) finish_pairs<PAIRS>(to, more, bias + col, sums);
    else finish_singly<PAIRS>(to, more, col, sums);
  }

  // finish_pairs has all that it reads on its way before it stores the first, for dst may be where it
  // reads.
  template <int PAIRS>
  DEVICE_MEMBER void finish_pairs(float* to, const float* more, const float* b, Two* sums) const {
    Two r[PAIRS] = {};
    if (residual) {
      UNROLL
      for (int i = 0; i < PAIRS; i++) r[i] = *reinterpret_cast<const Two*>(more + 8 * i);
    }
    if (bias) {
      UNROLL
      for (int i = 0; i < PAIRS; i++) sums[i] = {sums[i].x + b[8 * i], sums[i].y + b[8 * i + 1]};
    }
    if (residual) {
      UNROLL
      for (int i = 0; i < PAIRS; i++) sums[i] = {sums[i].x + r[i].x, sums[i].y + r[i].y};
    }
    UNROLL
    for (int i = 0; i < PAIRS; i++) *reinterpret_cast<Two*>(to + 8 * i) = sums[i];
  }

  // finish_singly is for odd distances and for the last columns.
  template <int PAIRS>
  DEVICE_MEMBER void finish_singly(float* to, const float* more, int col, const Two* sums) const {
    UNROLL
    for (int i = 0; i < 2 * PAIRS; i++) {
      const int at = i / 2 * 8 + i % 2;
      if (col + at >= out) continue;
      float y = i % 2 ? sums[i / 2].y : sums[i / 2].x;
      if (bias) y += bias[col + at];
      if (residual) y += more[at];
      to[at] = y;
    }
  }
};

// Parameters of the kernels, and what they make of them.
#define CONV_PARAMETERS                                                                           \
  const bf16 *x, i64 frames, i64 front, i64 h, i64 w, i64 twice, i64 kt, i64 kh, i64 kw, i64 blocks, \
      i64 last, const bf16 *weight, i64 pitch, i64 out_t, i64 out_h, i64 out_w, i64 stride_t,     \
      i64 stride, i64 pad_h, i64 pad_w, i64 out, float *dst, i64 ld, const float *bias,           \
      const float *residual, i64 ld_residual, i64 pairs
#define CONV_GRID                                                                                  \
  {(int)frames, (int)front,  (int)h,     (int)w,        (int)twice,  (int)kt,                      \
   (int)kh,     (int)kw,     (int)blocks, (int)last,    (int)out_t,  (int)out_h,                   \
   (int)out_w,  (int)out,    (int)stride_t, (int)stride, (int)pad_h, (int)pad_w}
#define CONV_OUTPUT {dst, ld, bias, residual, ld_residual, out, pairs != 0}

}  // namespace convolution
