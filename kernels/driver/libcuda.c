// A trampoline in place of -lcuda: every call of the driver jumps through a table that is filled
// from libcuda.so.1 when the program starts. Where there is no driver the program starts all the
// same and sees no GPU; longtake_driver_missing says why.
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

enum { SUCCESS = 0, NO_DEVICE = 100, NOT_FOUND = 500 };

static char missing[256];

// longtake_driver_missing returns why there is no driver, or NULL where there is one.
const char* longtake_driver_missing(void) { return missing[0] ? missing : NULL; }

static int no_device(void) { return NO_DEVICE; }
static int not_found(void) { return NOT_FOUND; }
static int success(void) { return SUCCESS; }

static int none(int* count) {
  *count = 0;
  return SUCCESS;
}

static const char* const names[] = {
#define SYMBOL(name) #name,
#include "symbols.h"
#undef SYMBOL
};

enum { COUNT = sizeof names / sizeof names[0] };

__attribute__((visibility("hidden"))) void* longtake_driver_table[COUNT];

// absent is what a call does where there is no driver: gorgonia.org/cu calls cuInit before main and
// ends the program when that fails.
static void* absent(const char* name) {
  if (strcmp(name, "cuInit") == 0) return (void*)success;
  if (strcmp(name, "cuDeviceGetCount") == 0) return (void*)none;
  return (void*)no_device;
}

__attribute__((constructor)) static void fill(void) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == NULL) {
    const char* why = dlerror();
    strncpy(missing, why ? why : "libcuda.so.1 cannot be opened", sizeof missing - 1);
  }
  for (int i = 0; i < COUNT; i++) {
    void* f = driver ? dlsym(driver, names[i]) : absent(names[i]);
    longtake_driver_table[i] = f ? f : (void*)not_found;
  }
}

// A jump leaves registers and stack as they are, whatever the call's parameters. The index of an
// entry is counted by the assembler.
#if defined(__x86_64__)
#define JUMP                                                                                        \
  "endbr64\n"                                                                                       \
  "movq longtake_driver_table+8*longtake_entry(%rip), %rax\n"                                       \
  "jmp *%rax\n"
#elif defined(__aarch64__)
#define JUMP                                                                                        \
  "adrp x16, longtake_driver_table+8*longtake_entry\n"                                              \
  "ldr x16, [x16, :lo12:longtake_driver_table+8*longtake_entry]\n"                                  \
  "br x16\n"
#else
#error "the trampoline knows x86-64 and arm64"
#endif

__asm__(".text\n.set longtake_entry, 0\n");
#define SYMBOL(name)                                                                                \
  __asm__(".globl " #name "\n.type " #name ", %function\n" #name ":\n" JUMP ".size " #name          \
          ", .-" #name "\n.set longtake_entry, longtake_entry+1\n");
#include "symbols.h"
