// Asynchronous copies from global to shared memory (cp.async, sm_80 and newer). A thread starts
// copies, closes a group of them, and later waits for groups; then it sees what it has copied, and
// after a barrier the others do. Until then nobody touches where a copy goes.
//
// On the host a copy is done in the wait (emu/copies.cc).
#pragma once

#include "kernel.h"

#ifdef __CUDACC__

DEVICE uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// copy16 starts a copy of 16 bytes, of which the first `bytes` come from memory and the others are
// zeros. Both addresses are multiples of 16; with 0 bytes nothing is read.
template <class T> DEVICE void copy16(Shared<T> to, const T* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}

// copy16_near is copy16 by way of the multiprocessor's own cache, for what it soon copies again.
template <class T> DEVICE void copy16_near(Shared<T> to, const T* from, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}

// commit_copies closes the group of the copies that the thread has started since the last one.
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// wait_copies waits for the thread's groups, except for the LEFT that were closed last.
template <int LEFT> DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

#else

template <class T> DEVICE void copy16(Shared<T> to, const T* from, int bytes) {
  emu::copy_start(to.array, to.from, from, bytes);
}

template <class T> DEVICE void copy16_near(Shared<T> to, const T* from, int bytes) {
  copy16(to, from, bytes);
}

DEVICE void commit_copies() { emu::copy_commit(); }

template <int LEFT> DEVICE void wait_copies() { emu::copy_wait(LEFT); }

#endif
