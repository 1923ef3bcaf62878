// Bulk asynchronous copies from global to shared memory (PTX ISA, cp.async.bulk), without tensor
// maps: a run of bytes goes to a run of bytes.
#pragma once

#include "mbarrier.h"

namespace bulk {

// copy begins to bring bytes to tile memory; they count on a barrier once they are there. One
// thread calls it. Both addresses and the number are multiples of 16.
DEVICE void copy(uint32_t to, const void* from, uint32_t bytes, mbarrier::One b) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(b)
      : "memory");
#else
  emu::bulk_copy(to, from, bytes, b, 1u << emu::self->block->rank);
#endif
}

// copy_to_all is copy to the same address in every block of the cluster whose bit is set in mask;
// the bytes count on the barrier of each of them that b is there.
DEVICE void copy_to_all(uint32_t to, const void* from, uint32_t bytes, mbarrier::One b,
                        uint16_t mask) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1], %2, [%3], %4;" ::"r"(to),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(b), "h"(mask)
      : "memory");
#else
  emu::bulk_copy(to, from, bytes, b, mask);
#endif
}

// prefetch begins to bring bytes to the L2, for a thread that will read them. Nothing waits for it.
// The address and the number are multiples of 16.
DEVICE void prefetch(const void* from, uint32_t bytes) {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)),
               "r"(bytes)
               : "memory");
#else
  emu::bulk_prefetch(from, bytes);
#endif
}

// fence lets copies and wgmma, which go through the async proxy, see what the thread has written to
// shared memory, and what it has been told that others wrote.
DEVICE void fence() {
#ifdef __CUDACC__
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  emu::proxy_fence();
#endif
}

}  // namespace bulk
