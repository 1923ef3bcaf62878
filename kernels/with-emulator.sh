#!/bin/sh
# with-emulator.sh COMMAND...: builds the emulated driver and runs a command, such as
# `go test ./internal/cuda`, that links and finds it. Exits with 75 and one line where there is no C++
# compiler or no cuda.h.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(dirname "$here")/bin/cuda

lacking() {
	echo "$1" >&2
	exit 75
}

command -v "${CXX:-g++}" >/dev/null || lacking "there is no C++ compiler"
if [ -z "${CUDA_INCLUDE:-}" ]; then
	CUDA_INCLUDE=$("$here/fetch.sh" headers.txt)/nvidia/cuda_runtime/include ||
		lacking "cuda.h cannot be fetched from PyPI; CUDA_INCLUDE may name a folder that has it"
fi
export CUDA_INCLUDE
MAKEFLAGS= make -s -j2 -C "$here" host >&2

# Go does not see what is in archives: a flag that changes with them makes it link again.
stamp=$(cat "$out/lib/libcuda.a" "$out/emu/liblongtake_kernels.a" | cksum | cut -d' ' -f1)
export CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$CUDA_INCLUDE"
export CGO_LDFLAGS="-L$out/lib -L$out/emu -Wl,--defsym=longtake_stamp=$stamp"
# With these tags all but a few packages are those of builds without cgo, which have them as well in
# .ci/run: they are compiled once for both.
export GOFLAGS="${GOFLAGS:-} -tags=cuda,netgo,osusergo"
export LD_LIBRARY_PATH="$out/emu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$@"
