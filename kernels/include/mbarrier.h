// Barriers in shared memory that count arrivals of threads and bytes of copies (PTX ISA, mbarrier).
// A phase ends when as many arrivals were made as init said and every byte expected has come; the
// next one begins at once. A waiter names its phase by parity: 0 for the first, 1 for the second,
// and so on; a barrier that has just begun counts as one whose phase of parity 1 is over.
#pragma once

#include "kernel.h"

#ifndef __CUDACC__
#include "async.h"
#endif

namespace mbarrier {

#ifdef __CUDACC__
typedef uint32_t Row;  // address in shared memory
typedef uint32_t One;
DEVICE One at(Row row, int i) { return row + 8 * i; }
// MBARRIERS declares `count` barriers.
#define MBARRIERS(name, count)               \
  __shared__ __align__(8) uint64_t name##_words[count]; \
  const mbarrier::Row name = (uint32_t)__cvta_generic_to_shared(name##_words)
#else
typedef emu::Mbarrier* Row;
typedef emu::Mbarrier* One;
DEVICE One at(Row row, int i) { return emu::mbarrier_at(row, i); }
#define MBARRIERS(name, count)       \
  static const char name##_tag = 0;  \
  const mbarrier::Row name = emu::mbarriers(&name##_tag, #name, count)
#endif

// init begins a barrier whose phases have so many arrivals: one thread calls it, then
// bulk::fence() if copies will complete on it, and all wait before they use it.
DEVICE void init(One b, unsigned arrivals) {
#ifdef __CUDACC__
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(b), "r"(arrivals) : "memory");
#else
  emu::mbarrier_init(b, arrivals);
#endif
}

// arrive counts one arrival; what the thread did before is seen by those who wait for the phase.
DEVICE void arrive(One b) {
#ifdef __CUDACC__
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(b) : "memory");
#else
  emu::mbarrier_arrive(b, 0);
#endif
}

// announce lets the other blocks of the cluster use barriers that the thread has begun: once all
// have met behind it, see cluster.h.
DEVICE void announce() {
#ifdef __CUDACC__
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  emu::mbarrier_announce();
#endif
}

// Peer is where the barriers of a block of the cluster lie, worked out once for many arrivals: peer
// is of any barrier of the thread's own block, and arrive_there is arrive_at for all of them.
#ifdef __CUDACC__
typedef uint32_t Peer;
DEVICE Peer peer(One b, int rank) {
  uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(b), "r"(rank));
  return there - b;
}
DEVICE void arrive_there(One b, Peer p) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(b + p) : "memory");
}
#else
typedef int Peer;
DEVICE Peer peer(One, int rank) { return rank; }
DEVICE void arrive_there(One b, Peer p) { emu::mbarrier_arrive_at(b, (unsigned)p); }
#endif

// arrive_at counts one arrival at the barrier that b is in a block of the cluster, be it the own
// one. It says that what the block was given may be overwritten; what its threads have written is
// not seen by other blocks for it (that would take a fence of the GPU's scope, and a wait that
// empties the L1).
DEVICE void arrive_at(One b, int rank) { arrive_there(b, peer(b, rank)); }

// expect counts one arrival and makes the phase wait for so many bytes of copies.
DEVICE void expect(One b, unsigned bytes) {
#ifdef __CUDACC__
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes)
               : "memory");
#else
  emu::mbarrier_arrive(b, bytes);
#endif
}

// wait returns once the phase of a parity is over.
DEVICE void wait(One b, unsigned parity) {
#ifdef __CUDACC__
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra over;\n"
      "bra again;\n"
      "over:\n"
      "}" ::"r"(b), "r"(parity) : "memory");
#else
  emu::mbarrier_wait(b, parity);
#endif
}

// Turn walks over the stages of a ring: which one is next, and the parity of the round.
template <int STAGES> struct Turn {
  int stage = 0;
  unsigned parity = 0;
  DEVICE_MEMBER void next() {
    if (++stage < STAGES) return;
    stage = 0;
    parity ^= 1;
  }
};

}  // namespace mbarrier
