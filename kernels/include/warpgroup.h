// What warpgroups, four warps that begin at a multiple of 128 threads, have of their own: tile memory,
// named barriers, and registers that they hand to each other.
#pragma once

#include "copy.h"

#ifndef __CUDACC__
#include "async.h"
#endif

// HOPPER is 1 where the code is compiled for sm_90a, or for the host.
#if defined(__CUDACC__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 0
#else
#define HOPPER 1
#endif

#ifdef __CUDACC__
// TILES is the block's dynamic shared memory from its first address that is a multiple of 1024 on: the
// launch asks for 1024 bytes more than `bytes`.
#define TILES(name, bytes)                                         \
  extern __shared__ __align__(1024) unsigned char tile_memory[];   \
  const uint32_t name = ((uint32_t)__cvta_generic_to_shared(tile_memory) + 1023) / 1024 * 1024
#else
#define TILES(name, bytes) \
  const uint32_t name = (emu::tile_memory(#name, (bytes) + 1024) + 1023) / 1024 * 1024
#endif

// absent ends a kernel on a GPU that it was not made for.
DEVICE void absent() {
#ifdef __CUDACC__
  __trap();
#endif
}

// store writes 16 bytes of tile memory; bulk::fence() and a barrier lie between it and a wgmma.
DEVICE void store(uint32_t at, const Sixteen& x) {
#ifdef __CUDACC__
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(x.of[0]), "r"(x.of[1]),
               "r"(x.of[2]), "r"(x.of[3])
               : "memory");
#else
  emu::tile_store(at, &x, sizeof x);
#endif
}

// copy16_near begins to bring 16 bytes to tile memory, of which the first `bytes` come from memory and
// the others are zeros. They are there once the thread has waited for its group (copy.h), as if it had
// stored them itself then.
DEVICE void copy16_near(uint32_t to, const void* from, int bytes) {
#ifdef __CUDACC__
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
#else
  emu::tile_copy(to, from, bytes);
#endif
}

// store_two and load_one are for numbers that threads exchange there, behind a barrier.
DEVICE void store_two(uint32_t at, float x, float y) {
#ifdef __CUDACC__
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(x), "f"(y) : "memory");
#else
  const float both[] = {x, y};
  emu::tile_store(at, both, sizeof both);
#endif
}

DEVICE float load_one(uint32_t at) {
  float x;
#ifdef __CUDACC__
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(at) : "memory");
#else
  emu::tile_load(at, &x, sizeof x);
#endif
  return x;
}

namespace warpgroup {

constexpr int THREADS = 128;

// index is the number of the thread's warpgroup, the same in all lanes of a warp.
DEVICE int index() {
#ifdef __CUDACC__
  return __shfl_sync(0xffffffffu, threadIdx.x / THREADS, 0);
#else
  return threadIdx.x / THREADS;
#endif
}

// sync waits at named barrier id (1 to 15) until so many threads, whole warps, have come to it or
// arrived; arrive does not wait.
DEVICE void sync(int id, int threads) {
#ifdef __CUDACC__
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  emu::bar_sync(id, threads);
#endif
}

DEVICE void arrive(int id, int threads) {
#ifdef __CUDACC__
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  emu::bar_arrive(id, threads);
#endif
}

// less and more set the registers of a thread of the warpgroup to N, a multiple of 8: less gives some
// to the block, more waits until the block has enough to give.
template <int N> DEVICE void less() {
#ifdef __CUDACC__
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#else
  emu::set_registers(N, false);
#endif
}

template <int N> DEVICE void more() {
#ifdef __CUDACC__
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#else
  emu::set_registers(N, true);
#endif
}

}  // namespace warpgroup
