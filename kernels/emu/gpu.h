// The GPUs that can be emulated: their limits, by name.
#pragma once

namespace emu {

// Gpu is what a launch is checked against.
struct Gpu {
  const char *key, *name;
  int major, minor;       // compute capability
  int multiprocessors;
  int shared, shared_most;  // bytes per block: without and with a function's consent
};

// Source: compute capabilities of the CUDA C++ Programming Guide, section 17.
constexpr Gpu gpus[] = {
    {"h100", "Emulated H100", 9, 0, 132, 49152, 232448},
    {"a100", "Emulated A100", 8, 0, 108, 49152, 166912},
    {"rtx4090", "Emulated RTX 4090", 8, 9, 128, 49152, 101376},
};

constexpr unsigned THREADS_MOST = 1024;
constexpr unsigned BLOCK_MOST[3] = {1024, 1024, 64};
constexpr unsigned GRID_MOST[3] = {2147483647, 65535, 65535};

}  // namespace emu
