// Clusters: blocks that run at the same time on neighbouring multiprocessors (PTX ISA, sm_90), so
// that they may count on each other's barriers (mbarrier::arrive_at) and copy into each other's
// shared memory (bulk::copy_to_all). No block may do so before the other has begun, nor after it
// has ended: all meet in sync before the first such word, and again behind the last.
#pragma once

#include "bulk.h"
#include "warpgroup.h"

#if defined(__CUDACC__) && HOPPER && defined(__CUDA_ARCH__)
// KERNEL_CLUSTER begins a kernel whose blocks come in clusters of so many neighbours along x, each
// with a multiprocessor to itself. The grid's width is a multiple of that. LAUNCHABLE_CLUSTER
// registers it.
#define KERNEL_CLUSTER(threads, blocks, name) \
  extern "C" __global__ void __cluster_dims__(blocks, 1, 1) __launch_bounds__(threads, 1) name
#else
#define KERNEL_CLUSTER(threads, blocks, name) KERNEL_ALONE(threads, name)
#endif

namespace cluster {

// rank is the block's number in its cluster of so many. It comes from the block's index and not
// from %cluster_ctarank, which is the same: of that the compiler does not know that all threads
// read one number, and code behind a branch that depends on it would keep uniform values in every
// thread.
template <int BLOCKS> DEVICE int rank() { return blockIdx.x % BLOCKS; }

// arrive tells that the thread has come, and wait waits for all threads of the cluster that have
// not returned; they see what the thread did before it came. Each thread calls them in turn.
DEVICE void arrive() {
#ifdef __CUDACC__
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#else
  emu::cluster_arrive();
#endif
}

DEVICE void wait() {
#ifdef __CUDACC__
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
  emu::cluster_wait();
#endif
}

DEVICE void sync() {
  arrive();
  wait();
}

}  // namespace cluster
