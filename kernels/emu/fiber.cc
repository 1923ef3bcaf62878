#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu {

void* make_stack() {
  const size_t page = 4096;
  char* m = (char*)mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED || mprotect(m, page, PROT_NONE) != 0) {
    perror("emulated gpu: cannot map a stack");
    abort();
  }
  return m + page;
}

}  // namespace emu

#if defined(__x86_64__)

// switch_stacks keeps what the System V ABI says a call keeps: it is an ordinary call to the
// compiler.
asm(R"(
.text
.type emu_switch_stacks, @function
emu_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch_stacks, .-emu_switch_stacks
)");
extern "C" void emu_switch_stacks(void** saved, void* next);

namespace emu {

void prepare(Fiber* f, void (*entry)()) {
  uintptr_t top = ((uintptr_t)f->stack + STACK_BYTES) & ~(uintptr_t)15;
  void** sp = (void**)top;
  *--sp = nullptr;         // what entry would return to; keeps the stack aligned as after a call
  *--sp = (void*)entry;
  for (int i = 0; i < 6; i++) *--sp = nullptr;  // the registers that a switch restores
  f->saved = sp;
}

void resume(Fiber* from, Fiber* to) { emu_switch_stacks(&from->saved, to->saved); }

}  // namespace emu

#else

#include <ucontext.h>

namespace emu {

static ucontext_t* context(Fiber* f) {
  if (f->saved == nullptr) f->saved = calloc(1, sizeof(ucontext_t));
  return (ucontext_t*)f->saved;
}

void prepare(Fiber* f, void (*entry)()) {
  ucontext_t* c = context(f);
  getcontext(c);
  c->uc_stack.ss_sp = f->stack;
  c->uc_stack.ss_size = STACK_BYTES;
  c->uc_link = nullptr;
  makecontext(c, entry, 0);
}

void resume(Fiber* from, Fiber* to) { swapcontext(context(from), context(to)); }

}  // namespace emu

#endif
