// Memory of the emulated GPU. Every allocation lies between pages that nobody may touch, and its
// end is as close to the later one as the alignment of hardware allows; what lies between is filled
// with a pattern that free checks. Fresh memory is full of NaN; freed memory is gone.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace emu {

constexpr size_t ALIGNMENT = 256;  // of what cuMemAlloc returns

// take returns bytes of memory, or nullptr.
void* take(size_t bytes);
// give frees what take returned; it says in why what is wrong, or returns true.
bool give(void* p, char* why, size_t n);
// covers reports whether [p, p+bytes) lies in one allocation, and which.
bool covers(const void* p, size_t bytes, void** base, size_t* size);
// hide takes an allocation out of the reach of kernels, and back.
void hide(void* p, bool hidden);
// explain tells what a wild address is near to.
void explain(const void* p, char* text, size_t n);
// catch_faults turns faults of kernels into failures of their launch.
void catch_faults();

}  // namespace emu
