// Kernels of one warpgroup with one mistake each in what v3 is made of, and one without: as in
// faults.cu. And products of matrices that lie in shared memory in every order there is.
#include "../include/cluster.h"
#include "../include/wgmma.h"

namespace faults3 {

constexpr int THREADS = 128;
constexpr int ROWS = 64, DEPTH = 16;        // of both matrices
constexpr int RUN = 256;                    // bytes of a copy: x
constexpr int COPIES = ROWS * DEPTH * 2 / RUN;

enum Mistake {
  NOTHING,
  NO_REGISTER_FENCE,   // no wgmma.fence after registers were set
  NO_PRODUCT_WAIT,     // sums are read while they are computed
  FRAGMENT_TOUCHED,    // a fragment is set again while a product reads it
  NO_BARRIER_WAIT,     // the product begins before its matrix is there
  WRONG_PARITY,
  FEW_BYTES,           // expected
  MANY_BYTES,
  NO_ARRIVAL,
  ARRIVAL_TOO_MANY,
  NO_INIT_FENCE,       // between init and the copies
  NO_INIT_BARRIER,     // between init and the other threads
  SECOND_INIT,
  ODD_TARGET, ODD_SOURCE, ODD_SIZE, WILD_SOURCE, WILD_TARGET,
  OVERWRITTEN,         // by a copy, while a product reads
  STORED_OVER,         // by a thread, while a product reads
  LEFT_FLYING,         // a copy that nobody waits for
  LEFT_PRODUCT,        // a product that nobody waits for
  NO_PROXY_FENCE,      // behind a thread's own store
  NO_STORE_BARRIER,    // between a thread's store and the others' product
  UNWRITTEN,
  OTHER_DESCRIPTOR,    // in some threads
  HALF_A_WARPGROUP,
  CROOKED_SWIZZLE,     // begins in the middle of a pattern
  BEYOND_ROW,          // of a swizzle
  CLOSE_ROWS,          // nearer to each other than a swizzle's pattern
  OVERRUN,             // a phase ends before one who waits has seen the end of the last one
  NAMED_LEFT, NAMED_COUNT, NAMED_NUMBER,
  TOO_MANY_REGISTERS, ODD_REGISTERS,
  WILD_PREFETCH,
};

DEVICE void begin(mbarrier::One b, int mistake) {
  if (threadIdx.x == 0) {
    mbarrier::init(b, 1);
    if (mistake == SECOND_INIT) mbarrier::init(b, 1);
    if (mistake != NO_INIT_FENCE) bulk::fence();
  }
  if (mistake != NO_INIT_BARRIER) __syncthreads();
}

// bring copies x, 64 ones, to the matrix [64, 16] eight times: as bfloat16 they are 0, 1, 0, 1, ...
DEVICE void bring(uint32_t to, const float* x, mbarrier::One b, int mistake) {
  int bytes = COPIES * RUN;
  if (mistake == FEW_BYTES) bytes -= RUN;
  if (mistake == MANY_BYTES) bytes += RUN;
  if (mistake != NO_ARRIVAL) mbarrier::expect(b, bytes);
  if (mistake == ARRIVAL_TOO_MANY) mbarrier::arrive(b);
  if (mistake == ODD_TARGET) to += 8;
  if (mistake == WILD_TARGET) to += 1 << 16;
  if (mistake == ODD_SOURCE) x += 1;
  if (mistake == WILD_SOURCE) x += 4;
  for (int i = 0; i < COPIES - (mistake == UNWRITTEN); i++)
    bulk::copy(to + i * RUN, x, mistake == ODD_SIZE ? RUN - 4 : RUN, b);
  if (mistake == UNWRITTEN) bulk::copy(to + COPIES * RUN, x, RUN, b);
}

// own stores what a thread would, among what was copied.
DEVICE void own(uint32_t to, int mistake) {
  if (threadIdx.x == 5) {
    store(to, {{0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000}});
    if (mistake != NO_PROXY_FENCE) bulk::fence();
  }
  if (mistake != NO_STORE_BARRIER) __syncthreads();
}

DEVICE uint64_t matrix(uint32_t at, int mistake) {
  if (mistake == CROOKED_SWIZZLE) return wgmma::descriptor(at + 512, 1024, 16, wgmma::B128);
  if (mistake == BEYOND_ROW) return wgmma::descriptor(at + 112, 1024, 16, wgmma::B128);
  if (mistake == CLOSE_ROWS) return wgmma::descriptor(at, 512, 16, wgmma::B128);
  if (mistake == OTHER_DESCRIPTOR && threadIdx.x > 99) at += 16;
  return wgmma::descriptor(at, 256, 128, wgmma::NONE);
}

// multiply computes 64 rows of ones times the matrix; every sum is 8.
DEVICE void multiply(float* x, uint32_t at, mbarrier::One b, int mistake) {
  wgmma::Sums<ROWS> sums;
  wgmma::Fragment ones;
  for (int i = 0; i < 4; i++) ones[i] = 0x3f803f80;
  for (int i = 0; i < ROWS / 2; i++) sums[i] = 0;
  if (mistake == HALF_A_WARPGROUP && threadIdx.x % 64 >= 32) return;
  if (mistake != NO_REGISTER_FENCE) wgmma::fence();
  wgmma::multiply<ROWS>(sums, ones, matrix(at, mistake));
  wgmma::commit();
  if (mistake == FRAGMENT_TOUCHED) ones[0] = 0;
  if (mistake == STORED_OVER && threadIdx.x == 0) store(at, {});
  if (mistake == OVERWRITTEN && threadIdx.x == 0) bulk::copy(at, x, RUN, b);
  if (mistake == LEFT_PRODUCT) return;
  if (mistake != NO_PRODUCT_WAIT) wgmma::wait<0>();
  bool right = true;
  for (int i = 0; i < ROWS / 2; i++) right = right && sums[i] == 8;
  __syncthreads();
  x[threadIdx.x % 64] = right ? 1.0f : NAN;
}

// end is what blocks may leave undone.
DEVICE void end(uint32_t at, const float* x, mbarrier::One b, int mistake) {
  if (mistake == LEFT_FLYING && threadIdx.x == 0) bulk::copy(at, x, RUN, b);
  if (mistake == NAMED_LEFT && threadIdx.x < 32) warpgroup::arrive(3, 64);
  if (mistake == NAMED_COUNT) warpgroup::sync(3, threadIdx.x < 64 ? 128 : 64);
  if (mistake == NAMED_NUMBER) warpgroup::sync(0, 128);
  if (mistake == TOO_MANY_REGISTERS) warpgroup::less<128>(), warpgroup::less<64>(),
                                     warpgroup::more<256>();
  if (mistake == WILD_PREFETCH) bulk::prefetch(x + 4, RUN);
  if (mistake == ODD_REGISTERS) warpgroup::less<100>();
  if (mistake == OVERRUN) {  // phases 1 and 2 end before threads that wait for 1 can run
    if (threadIdx.x != 64) return mbarrier::wait(b, 1);
    mbarrier::arrive(b);
    mbarrier::arrive(b);
  }
}

DEVICE void run(float* x, int mistake) {
  TILES(tiles, 4096);
  MBARRIERS(box, 1);
  const mbarrier::One b = mbarrier::at(box, 0);
  begin(b, mistake);
  if (threadIdx.x == 0) bring(tiles, x, b, mistake);
  if (mistake != NO_BARRIER_WAIT) mbarrier::wait(b, mistake == WRONG_PARITY);
  __syncthreads();
  own(tiles, mistake);
  multiply(x, tiles, b, mistake);
  end(tiles, x, b, mistake);
}

// fault_v3 makes one mistake of the list, or none.
KERNEL(THREADS, fault_v3)(float* x, i64 mistake) { run(x, (int)mistake); }
LAUNCHABLE(THREADS, fault_v3)

// Element k of row r of the matrices whose product is checked.
DEVICE float first(int r, int k) { return (float)((3 * r + k) % 7 - 3); }
DEVICE float second(int r, int k) { return (float)((5 * r + 2 * k) % 9 - 4); }

// laid returns where 8 columns of a row lie, as the pictures of the PTX ISA have it.
DEVICE uint32_t laid(int order, int row, int half) {
  switch (order) {
    case wgmma::B128: return row * 128 + (half ^ row % 8) * 16;
    case wgmma::B64: return row * 64 + (half ^ row / 2 % 4) * 16;
    case wgmma::B32: return row * 32 + (half ^ row / 4 % 2) * 16;
  }
  return row / 8 * 256 + half * 128 + row % 8 * 16;
}

template <class F> DEVICE void fill(uint32_t to, int order, const F& element) {
  const int row = threadIdx.x / 2, half = threadIdx.x % 2;
  Sixteen s;
  for (int i = 0; i < 4; i++)
    s.of[i] = pair(element(row, 8 * half + 2 * i), element(row, 8 * half + 2 * i + 1));
  store(to + laid(order, row, half), s);
  bulk::fence();
}

// order_v3 multiplies matrices that lie in one of the orders, and twice adds.
KERNEL(THREADS, order_v3)(float* x, i64 order) {
  TILES(tiles, 16384);
  const uint32_t a = tiles, b = tiles + 8192;
  const int apart[] = {256, 1024, 512, 256};
  fill(a, (int)order, first);
  fill(b, (int)order, second);
  __syncthreads();
  wgmma::Sums<ROWS> sums;
  const wgmma::Swizzle s = (wgmma::Swizzle)order;
  wgmma::fence();
  for (int i = 0; i < 2; i++)
    wgmma::multiply<ROWS>(sums, wgmma::descriptor(a, apart[s], 128, s),
                          wgmma::descriptor(b, apart[s], 128, s), i > 0);
  wgmma::commit();
  wgmma::wait<0>();
  const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4;
  for (int e = 0; e < ROWS / 2; e++) {
    float want = 0;
    for (int k = 0; k < DEPTH; k++)
      want += 2 * first(row + e / 2 % 2 * 8, k) * second(e / 4 * 8 + thread % 4 * 2 + e % 2, k);
    if (sums[e] != want) x[thread % 64] = NAN;
  }
}
LAUNCHABLE(THREADS, order_v3)

namespace pair {

constexpr int BLOCKS = 2;

enum Mistake {
  NOTHING,
  NO_FIRST_MEETING,   // between init and the other block's use
  NOT_ANNOUNCED,      // no fence behind an init
  NO_LAST_MEETING,    // a block ends, and the other may still arrive
  NO_WAIT_FOR_COPY,   // of the other block's
  BEYOND_CLUSTER,     // an arrival
  COPY_BEYOND, COPY_TO_NONE,
  ONE_COMES,          // to the cluster's barrier
  TWICE, NEVER,       // arrivals there, without and after a wait
  AFTER_END,          // a copy to a block that has ended
};

// run lets each block copy half of x, 64 ones, to both, and arrive at the other's second barrier.
DEVICE void run(float* x, int mistake) {
  TILES(tiles, 1024);
  MBARRIERS(box, 2);
  const mbarrier::One full = mbarrier::at(box, 0), done = mbarrier::at(box, 1);
  const int rank = cluster::rank<BLOCKS>(), lead = threadIdx.x == 0;
  if (lead) {
    mbarrier::init(full, 1);
    mbarrier::init(done, BLOCKS);
    bulk::fence();
    if (mistake != NOT_ANNOUNCED) mbarrier::announce();
  }
  if (mistake == NO_FIRST_MEETING || mistake == NEVER) __syncthreads();
  else if (mistake != ONE_COMES || rank == 0) cluster::sync();
  else if (lead) mbarrier::wait(full, 0);
  if (mistake == ONE_COMES) return;
  if (mistake == TWICE) cluster::arrive(), cluster::arrive();
  if (mistake == NEVER) cluster::wait();
  if (mistake == AFTER_END && rank == 0) return;
  if (lead) {
    const int mask = mistake == COPY_BEYOND ? 6 : mistake == COPY_TO_NONE ? 0 : 3;
    mbarrier::expect(full, 256);
    bulk::copy_to_all(tiles + 128 * rank, x + 32 * rank, 128, full, (uint16_t)mask);
    if (mistake != NO_WAIT_FOR_COPY || rank == 0) mbarrier::wait(full, 0);
    for (int b = 0; b < BLOCKS; b++) mbarrier::arrive_at(done, mistake == BEYOND_CLUSTER ? b + 1 : b);
    if (mistake != NO_LAST_MEETING) mbarrier::wait(done, 0);
  }
  if (mistake != NO_LAST_MEETING && mistake != NO_WAIT_FOR_COPY) cluster::sync();
}

}  // namespace pair

// fault_cluster makes one mistake of pair's, or none.
KERNEL_CLUSTER(THREADS, pair::BLOCKS, fault_cluster)(float* x, i64 mistake) {
  pair::run(x, (int)mistake);
}
LAUNCHABLE_CLUSTER(THREADS, pair::BLOCKS, fault_cluster)

}  // namespace faults3
