// What a block does apart from its threads (bulk copies, wgmma), and what its threads wait for there. The
// scheduler of grid.cc calls begin, met, step, waiting and end; async.cc calls sleep and wake.
#pragma once

#include <string>

#include "../include/kernel.h"
#include "../include/async.h"

namespace emu {

// Of grid.cc, for the block at work on this operating system thread.
struct Shape {
  unsigned threads;
  i64 dynamic;       // bytes of shared memory that the launch brings
  unsigned compute;  // capability of the GPU, 90
};
Shape shape();
// sleep stops the running thread until somebody wakes it.
void sleep();
void wake(unsigned thread);
// reserve counts bytes of the block's own shared memory.
void reserve(const char* name, i64 bytes);
// any_of returns which of n things that may happen in any order is the next one.
unsigned any_of(unsigned n);

// Of async.cc, for the same block.
void async_begin();
// async_met tells that every thread that has not returned is at a barrier of the block.
void async_met();
// async_step carries out one copy and says whether there was one.
bool async_step(std::string* failure);
// async_waiting says who waits for what, "" for nobody.
std::string async_waiting();
// async_end says what was left undone at the end of the block, "" for nothing.
std::string async_end();

}  // namespace emu
