// The GPU's side of kernel.h.
#pragma once

#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")

// KERNEL begins a kernel that is launched with blocks of exactly `threads` threads.
// Two blocks of it must fit a multiprocessor: without that, ptxas would rather spill than give up a
// block.
#define KERNEL(threads, name) extern "C" __global__ void __launch_bounds__(threads, 2) name
// KERNEL_ALONE begins one whose block has a multiprocessor to itself, and all of its registers.
#define KERNEL_ALONE(threads, name) extern "C" __global__ void __launch_bounds__(threads, 1) name
// LAUNCHABLE registers a kernel in the emulator; a GPU finds it in the module.
#define LAUNCHABLE(threads, name)
#define LAUNCHABLE_CLUSTER(threads, blocks, name)

// Shared is a run of a block's shared memory.
template <class T> using Shared = T*;
#define SHARED(T, name, count) __shared__ T name[count]
// DYNAMIC is shared memory that a launch brings, which may be more than 48 KiB: all of it, aligned
// to 1,024 bytes, as internal/cuda's table of kernels says in bytes. A kernel has one at most.
#define DYNAMIC(T, name, count)                                                                   \
  extern __shared__ __align__(1024) unsigned char longtake_dynamic[];                             \
  T* const name = reinterpret_cast<T*>(longtake_dynamic)

DEVICE float float_of(uint32_t bits) { return __uint_as_float(bits); }
DEVICE uint32_t bits_of(float x) { return __float_as_uint(x); }

// shuffle_xor returns the x of the lane whose number differs in the bits of `lanes`; the whole warp
// calls it.
DEVICE float shuffle_xor(float x, int lanes) { return __shfl_xor_sync(0xffffffffu, x, lanes); }

// any_lane says whether x holds in a lane of the warp; the whole warp calls it.
DEVICE bool any_lane(bool x) { return __any_sync(0xffffffffu, x); }
