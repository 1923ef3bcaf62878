// Two neighbouring numbers in global memory, which a thread reads and writes at once. Four lanes
// that have eight numbers in a row so move a sector of 32 bytes, the least that memory moves.
#pragma once

#include "kernel.h"

// Two is two numbers side by side. Their address is a multiple of 8.
struct alignas(8) Two {
  float x, y;
};

DEVICE Two read_two(const float* p) {
#ifndef __CUDACC__
  emu::aligned(p, sizeof(Two), "two numbers");
#endif
  return *reinterpret_cast<const Two*>(p);
}

DEVICE void write_two(float* p, Two x) {
#ifndef __CUDACC__
  emu::aligned(p, sizeof(Two), "two numbers");
#endif
  *reinterpret_cast<Two*>(p) = x;
}
