#!/bin/sh
# with-gpu.sh COMMAND...: runs a command, such as `go test -tags cuda ./internal/cuda`, that links the
# kernels for GPUs and uses the machine's driver. build.sh has made what it links, in bin/cuda or in the
# folder that CUDA_OUT names.
set -eu
out=${CUDA_OUT:-$(dirname "$(cd "$(dirname "$0")" && pwd)")/bin/cuda}
CUDA_INCLUDE=${CUDA_INCLUDE:-$("$(dirname "$0")/fetch.sh" headers.txt)/nvidia/cuda_runtime/include}
# Go does not see what is in archives: a flag that changes with them makes it link again.
stamp=$(cat "$out/lib/libcuda.a" "$out/gpu/liblongtake_kernels.a" | cksum | cut -d' ' -f1)
export CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$CUDA_INCLUDE"
export CGO_LDFLAGS="-L$out/lib -L$out/gpu -Wl,--defsym=longtake_stamp=$stamp"
exec "$@"
