// Running a grid: blocks on a few operating system threads, the threads of a block as fibers.
#pragma once

#include <string>

#include "../include/kernel.h"

namespace emu {

// Launch is one kernel launch.
struct Launch {
  const Kernel* kernel;
  Dim grid, block;
  void** params;
  i64 static_most, shared_most;  // bytes of shared memory that a block may have, and of all of it
  i64 dynamic;                   // bytes of it that the launch brings
  unsigned compute;              // capability of the GPU, 90 for 9.0

  std::string failure;  // "" when all went well
};

// run runs every block and waits. The order of blocks, and of threads between two barriers, is the
// launch's own business on a GPU; here EMU_ORDER chooses it: forward (default), backward or random.
void run(Launch* l);

const Kernel* find(const char* name);

}  // namespace emu
