#!/bin/sh
# need-gpu.sh TARGET: fails with a line where the machine has no GPU for `make TARGET`, before minutes
# go into building what runs on one. Needs python3, as fetch.sh does.
why=$(python3 - 2>&1 <<'PY'
import ctypes, sys
try:
    driver = ctypes.CDLL("libcuda.so.1")
except OSError as e:
    sys.exit(f"there is no CUDA driver ({e})")
n = ctypes.c_int()
if e := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(n)):
    sys.exit(f"the CUDA driver has error {e}")
if n.value == 0:
    sys.exit("the CUDA driver sees no GPU")
PY
) || {
	echo "$1: $why; run it on a machine with an NVIDIA GPU and its driver. make cuda-test needs none" >&2
	exit 1
}
