#!/bin/sh
# test.sh: everything that can be known about the CUDA device without a GPU. `make cuda-test` runs it.
set -eu
cd "$(dirname "$0")/.."
run=kernels/with-emulator.sh
$run true || { [ $? = 75 ] && echo "cuda-test: skipped, see above" && exit 0; }
$run ${GO:-go} vet -tags cuda ./internal/cuda ./internal/shard ./internal/cli ./cmd/shard
$run ${GO:-go} test -tags cuda -count=1 ./internal/cuda ./cmd/shard
$run ${GO:-go} test -tags cuda -count=1 -run GPU ./internal/shard ./internal/cli
EMU_GPU=rtx4090 $run ${GO:-go} test -tags cuda -count=1 -run 'Conformance|Agrees' ./internal/cuda
EMU_ORDER=backward EMU_STREAMS=early $run ${GO:-go} test -tags cuda -count=1 -run 'Conformance|Bytes' ./internal/cuda
EMU_ORDER=random EMU_STREAMS=random $run ${GO:-go} test -tags cuda -count=1 -run 'Conformance|Bytes' ./internal/cuda
