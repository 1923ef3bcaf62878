// What every kernel includes: one vocabulary with two bodies, the GPU's (device.h) and the host's
// (host.h), so that the same source is compiled by nvcc and by a C++ compiler. Kernels use nothing
// of CUDA but what these headers name.
#pragma once

#include <math.h>
#include <stdint.h>

// Parameters of a kernel are pointers, i64 or double: the launcher hands over 8 bytes of each.
typedef long long i64;

#ifdef __CUDACC__
#include "device.h"
#else
#include "host.h"
#endif

#include "bf16.h"
#include "operand.h"
#include "scalar.h"
