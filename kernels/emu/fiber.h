// Fibers: stacks that take turns on one operating system thread.
#pragma once

#include <stddef.h>

namespace emu {

constexpr size_t STACK_BYTES = 128 << 10;

// Fiber is a stack that does not run; resume continues it.
struct Fiber {
  void* stack = nullptr;  // lowest address, above a guard page
  void* saved = nullptr;  // where it stopped
};

// make_stack maps a stack with a guard page below it.
void* make_stack();
// prepare lets f begin with entry(), which must not return.
void prepare(Fiber* f, void (*entry)());
// resume stops the one that runs, in `from`, and continues `to`.
void resume(Fiber* from, Fiber* to);

}  // namespace emu
