#!/bin/sh
# build.sh: compiles the kernels for GPUs and bin/cuda/shard with them. `make cuda` runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(dirname "$here")/bin/cuda
CUDA_INCLUDE=${CUDA_INCLUDE:-$("$here/fetch.sh" headers.txt)/nvidia/cuda_runtime/include}
export CUDA_INCLUDE
"$here/gpu.sh" "$out/gpu"
make -s -C "$here" gpu
stamp=$(cat "$out/lib/libcuda.a" "$out/gpu/liblongtake_kernels.a" | cksum | cut -d' ' -f1)
export CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$CUDA_INCLUDE"
export CGO_LDFLAGS="-L$out/lib -L$out/gpu -Wl,--defsym=longtake_stamp=$stamp"
cd "$here/.."
${GO:-go} build -tags cuda -trimpath -ldflags "${LDFLAGS:-}" -o "$out/shard" ./cmd/shard
echo "built $out/shard"
