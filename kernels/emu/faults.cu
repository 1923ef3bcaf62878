// Kernels with one mistake each, or a thing that only looks like one: internal/cuda's tests of the
// emulated GPU launch them and want it to complain, or not to. No module but theirs names them.
#include "../include/pairs.h"

namespace faults {

constexpr int THREADS = 64;

// x: THREADS floats, as in all of them.

// fault_none hands values on behind barriers.
KERNEL(THREADS, fault_none)(float* x) {
  SHARED(float, box, THREADS);
  const int i = threadIdx.x;
  box[i] = x[i];
  __syncthreads();
  x[i] = box[THREADS - 1 - i];
  __syncthreads();
  box[THREADS - 1 - i] = sum_over<32>(x[i]);
  __syncthreads();
  x[i] = box[i];
}
LAUNCHABLE(THREADS, fault_none)

// fault_read_early reads what another thread writes, with no barrier in between.
KERNEL(THREADS, fault_read_early)(float* x) {
  SHARED(float, box, THREADS);
  const int i = threadIdx.x;
  box[i] = x[i];
  x[i] = box[THREADS - 1 - i];
}
LAUNCHABLE(THREADS, fault_read_early)

// fault_write_early overwrites what other threads read.
KERNEL(THREADS, fault_write_early)(float* x) {
  SHARED(float, box, THREADS);
  const int i = threadIdx.x;
  box[i] = x[i];
  __syncthreads();
  x[i] = box[THREADS - 1 - i];
  box[i] = 1;
}
LAUNCHABLE(THREADS, fault_write_early)

// fault_write_twice lets two threads write one element.
KERNEL(THREADS, fault_write_twice)(float* x) {
  SHARED(float, box, THREADS);
  box[threadIdx.x / 2] = x[threadIdx.x];
}
LAUNCHABLE(THREADS, fault_write_twice)

// fault_outside reads one element too far, and fault_below one before the first.
KERNEL(THREADS, fault_outside)(float* x) {
  SHARED(float, box, THREADS);
  box[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = box[threadIdx.x + 1];
}
LAUNCHABLE(THREADS, fault_outside)

KERNEL(THREADS, fault_below)(float* x) {
  SHARED(float, box, THREADS);
  (box + threadIdx.x)[-1] = x[threadIdx.x];
}
LAUNCHABLE(THREADS, fault_below)

// fault_unwritten stores what nobody wrote.
KERNEL(THREADS, fault_unwritten)(float* x) {
  SHARED(float, box, THREADS);
  if (threadIdx.x != 7) box[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = box[threadIdx.x];
}
LAUNCHABLE(THREADS, fault_unwritten)

// fault_two_barriers lets the halves of a block wait at barriers of their own.
KERNEL(THREADS, fault_two_barriers)(float* x) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  x[threadIdx.x] = 1;
}
LAUNCHABLE(THREADS, fault_two_barriers)

// fault_some_lanes lets half a warp take part in a collective; the others wait for it further on.
KERNEL(THREADS, fault_some_lanes)(float* x) {
  if (threadIdx.x % 32 < 16) x[threadIdx.x] = sum_over<32>(x[threadIdx.x]);
  __syncthreads();
}
LAUNCHABLE(THREADS, fault_some_lanes)

// fault_lanes_return lets lanes leave for good before a collective of their warp.
KERNEL(THREADS, fault_lanes_return)(float* x) {
  if (threadIdx.x % 32 < 16) return;
  x[threadIdx.x] = sum_over<32>(x[threadIdx.x]);
}
LAUNCHABLE(THREADS, fault_lanes_return)

// fault_small_warp calls a collective in a block of less than a warp.
KERNEL(16, fault_small_warp)(float* x) { x[threadIdx.x] = sum_over<16>(x[threadIdx.x]); }
LAUNCHABLE(16, fault_small_warp)

// fault_much_shared wants more shared memory than a block may have without asking.
KERNEL(THREADS, fault_much_shared)(float* x) {
  SHARED(float, first, 12000);
  SHARED(float, second, 300);
  first[threadIdx.x] = 1;
  second[threadIdx.x] = 1;
  x[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}
LAUNCHABLE(THREADS, fault_much_shared)

// fault_beyond writes behind its memory, fault_before a page before it, fault_nowhere at address 8.
KERNEL(THREADS, fault_beyond)(float* x) { x[THREADS + threadIdx.x] = 1; }
LAUNCHABLE(THREADS, fault_beyond)

KERNEL(THREADS, fault_before)(float* x) { x[-1024] = 1; }
LAUNCHABLE(THREADS, fault_before)

KERNEL(THREADS, fault_nowhere)(float* x) { ((float*)8)[threadIdx.x * (x == nullptr)] = 1; }
LAUNCHABLE(THREADS, fault_nowhere)

// fault_odd_pair reads two numbers at once whose address is a multiple of 4 and not of 8.
KERNEL(THREADS, fault_odd_pair)(float* x) { x[0] = read_two(x + 1).x; }
LAUNCHABLE(THREADS, fault_odd_pair)

// fault_slack writes one element, i64 `at`, that may lie between an allocation's end and the page
// where addresses stop to exist.
KERNEL(THREADS, fault_slack)(float* x, i64 at) {
  if (threadIdx.x == 0) x[at] = 1;
}
LAUNCHABLE(THREADS, fault_slack)

}  // namespace faults
