// What a cluster of blocks does apart from its threads (bulk copies, wgmma), and what its threads wait
// for there. Most clusters are of one block. The scheduler of grid.cc calls begin, met, left, step,
// waiting and end; async.cc calls sleep and wake, which number threads through all blocks.
#pragma once

#include <string>

#include "../include/kernel.h"
#include "../include/async.h"

namespace emu {

// Of grid.cc, for the cluster at work on this operating system thread.
struct Shape {
  unsigned threads;  // of a block
  unsigned blocks, alive;  // alive: threads of all that have not returned
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

// Of async.cc, for the same cluster.
void async_begin();
// async_met tells that every thread of a block that has not returned is at a barrier of it.
void async_met(unsigned rank);
// async_left tells that the running thread returns.
void async_left();
// async_step carries out one copy and says whether there was one.
bool async_step(std::string* failure);
// async_waiting says who waits for what, "" for nobody.
std::string async_waiting();
// async_end says what was left undone at the end of a block, "" for nothing.
std::string async_end(unsigned rank);

}  // namespace emu
