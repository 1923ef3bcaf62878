// Calls that gorgonia.org/cu refers to and nobody makes: they say so. driver.cc has the others,
// which win over these.
#include <stdio.h>

static int absent(const char* name) {
  fprintf(stderr, "emulated gpu: %s is not emulated\n", name);
  return 801;  // CUDA_ERROR_NOT_SUPPORTED
}

#define SYMBOL(name)                                                                \
  extern "C" __attribute__((weak, visibility("default"))) int name() { return absent(#name); }
#include "../driver/symbols.h"
