// Kernels of two warps with one mistake each in what v2 is made of, and one without: as in
// faults.cu. And products of matrices that are brought to registers in every way there is.
#include "../include/mma.h"

namespace faults2 {

constexpr int THREADS = 64;
constexpr int WIDTH = 16;                  // of a row
constexpr int ROWS = 16;
constexpr int CHUNKS = ROWS * WIDTH / 8;   // that are copied, by a thread of the first warp each

enum Mistake {
  NOTHING,
  NO_WAIT,
  NO_COMMIT,         // before the wait, which then waits for nothing
  WAIT_FOR_LESS,     // than the last group
  NO_BARRIER,        // between the wait and the other threads
  ODD_TARGET, ODD_SOURCE, WILD_TARGET, WILD_SOURCE,
  MANY_BYTES,
  WRITTEN_OVER,      // while the copy is under way
  BEGUN_EARLY,       // a copy to what others have read since the last barrier
  COPIED_TWICE,      // to one place at a time
  LEFT_FLYING,       // a copy that nobody waits for
  ODD_ROW, WILD_ROW,
  HALF_LOAD, HALF_PRODUCT,  // by some lanes alone
  TWO_LOADS,         // of different kinds, by halves of a warp
  ODD_STORE, STORED_TWICE,
};

// bring copies x, 64 ones, to box again and again: as bfloat16 they are 0, 1, 0, 1, ...
DEVICE void bring(Shared<bf16> box, const float* x, int mistake) {
  const bf16* from = (const bf16*)(x + threadIdx.x % 16 * 4);
  if (mistake == ODD_SOURCE) from += 2;
  if (mistake == WILD_SOURCE) from += 128;
  int at = threadIdx.x * 8;
  if (mistake == ODD_TARGET) at = 4;
  if (mistake == WILD_TARGET) at += 8;
  copy16(box + at, from, mistake == MANY_BYTES ? 32 : 16);
  if (mistake == COPIED_TWICE) copy16(box + at, from, 16);
  if (mistake == WRITTEN_OVER) box[at] = 0;
  if (mistake != NO_COMMIT) commit_copies();
  if (mistake == WAIT_FOR_LESS) wait_copies<1>();
  else if (mistake != NO_WAIT) wait_copies<0>();
}

// multiply computes the products of the box's rows with its first 16, all 8.
DEVICE void multiply(Shared<bf16> box, float* x, int mistake) {
  const int lane = threadIdx.x % 32;
  int at = lane % 16 * WIDTH + lane / 16 * 8;
  if (mistake == ODD_ROW) at = 4;
  if (mistake == WILD_ROW) at += 8;
  const bool half = lane < 16;
  if (mistake == HALF_LOAD && half) return;
  const Fragment<4> a =
      mistake == TWO_LOADS && half ? load_transposed(box + at) : load_matrices(box + at);
  const Fragment<4> b = load_matrices(box + (lane / 16 * 8 + lane % 8) * WIDTH + lane / 8 % 2 * 8);
  if (mistake == HALF_PRODUCT && half) return;
  float c[2][4] = {};
  for (int n = 0; n < 2; n++) multiply_add(c[n], a, b.of[2 * n], b.of[2 * n + 1]);
  for (int i = 0; i < 8; i++)
    if (c[i / 4][i % 4] != 8) x[threadIdx.x] = NAN;
}

DEVICE void own(Shared<bf16> box, int mistake) {
  int at = threadIdx.x % CHUNKS * 8;
  if (mistake == ODD_STORE) at = 4;
  if (threadIdx.x < CHUNKS || mistake == STORED_TWICE)
    store(box + at, {{0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000}});
}

DEVICE void run(float* x, int mistake) {
  SHARED(bf16, box, ROWS * WIDTH);
  if (threadIdx.x < CHUNKS) bring(box, x, mistake);
  if (mistake != NO_BARRIER) __syncthreads();
  multiply(box, x, mistake);
  if (mistake == BEGUN_EARLY && threadIdx.x == 0) bring(box, x, mistake);
  __syncthreads();
  own(box, mistake);
  __syncthreads();
  multiply(box, x, NOTHING);
  __syncthreads();
  if (mistake == LEFT_FLYING && threadIdx.x == 0) copy16(box, (const bf16*)x, 16);
}

// fault_v2 makes one mistake of the list, or none.
KERNEL(THREADS, fault_v2)(float* x, i64 mistake) { run(x, (int)mistake); }
LAUNCHABLE(THREADS, fault_v2)

// Element k of row r of the matrices whose product is checked.
DEVICE float first(int r, int k) { return (float)((3 * r + k) % 7 - 3); }
DEVICE float second(int r, int k) { return (float)((5 * r + 2 * k) % 9 - 4); }

// order_v2 multiplies a [16, 16] with b [8, 16], which lies row after row, or column after column.
KERNEL(THREADS, order_v2)(float* x, i64 transposed) {
  SHARED(bf16, a, 16 * 16);
  SHARED(bf16, b, 16 * 16);
  const int lane = threadIdx.x % 32, half = lane / 16 * 8;
  for (int i = threadIdx.x; i < 256; i += THREADS) {
    a[i] = narrow(first(i / 16, i % 16));
    b[i] = narrow(transposed ? second(i % 16, i / 16) : second(i / 16, i % 16));
  }
  __syncthreads();
  const Fragment<4> f = load_matrices(a + lane % 16 * 16 + half);
  const Fragment<4> g = transposed ? load_transposed(b + lane % 16 * 16 + half)
                                   : load_matrices(b + (half + lane % 8) * 16 + lane / 8 % 2 * 8);
  float c[4] = {1, 1, 1, 1};
  multiply_add(c, f, g.of[0], g.of[1]);
  for (int e = 0; e < 4; e++) {
    float want = 1;
    for (int k = 0; k < 16; k++)
      want += first(lane / 4 + e / 2 * 8, k) * second(lane % 4 * 2 + e % 2, k);
    if (c[e] != want) x[threadIdx.x] = NAN;
  }
}
LAUNCHABLE(THREADS, order_v2)

}  // namespace faults2
