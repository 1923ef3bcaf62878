#!/bin/sh
# build.sh: compiles the kernels for GPUs, and bin/cuda/shard and bin/cuda/longtake with them. `make
# cuda` runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(dirname "$here")/bin/cuda
CUDA_INCLUDE=${CUDA_INCLUDE:-$("$here/fetch.sh" headers.txt)/nvidia/cuda_runtime/include}
export CUDA_INCLUDE
"$here/gpu.sh" "$out/gpu"
make -s -C "$here" gpu
cd "$here/.."
kernels/with-gpu.sh ${GO:-go} build -tags cuda -trimpath -ldflags "${LDFLAGS:-}" -o "$out/" ./cmd/shard ./cmd/longtake
echo "built $out/shard $out/longtake"
