#!/bin/sh
# test.sh: everything that can be known about the CUDA device without a GPU. `make cuda-test` runs it.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
run=$root/kernels/with-emulator.sh
$run true || { [ $? = 75 ] && echo "cuda-test: skipped, see above" && exit 0; }
$run ${GO:-go} vet -tags cuda ./internal/cuda ./internal/shard ./internal/cli ./cmd/shard
$run ${GO:-go} test -vet=off -tags cuda -count=1 ./cmd/shard
$run ${GO:-go} test -vet=off -tags cuda -count=1 -run GPU ./internal/shard ./internal/cli

# The device's tests are linked once, for four emulated GPUs.
$run ${GO:-go} test -c -vet=off -tags cuda -o bin/cuda/device.test ./internal/cuda
cd internal/cuda
device() { # what the emulator says of planted faults is of interest only where a test fails
	said=$("$run" "$root/bin/cuda/device.test" -test.timeout 20m "$@" 2>&1) || { echo "$said"; exit 1; }
	echo "ok	internal/cuda $*"
}
# PART=third runs a third of the planted mistakes, and one of three: another GPU, another order with
# the kit, a random one. With each commit it is another third.
third=
if [ "${PART:-all}" = third ]; then
	third=$(($(git rev-parse HEAD 2>/dev/null | cksum | cut -d' ' -f1) % 3))
	export LONGTAKE_MUTATIONS=$third/3
	echo "cuda-test: the planted mistakes $LONGTAKE_MUTATIONS, and one of three further runs"
fi
device
[ "${third:-0}" != 0 ] || EMU_GPU=rtx4090 device -test.run 'Conformance|Agrees'
[ "${third:-1}" != 1 ] || EMU_ORDER=backward EMU_STREAMS=early device -test.run 'Conformance|Bytes'
[ "${third:-2}" != 2 ] || EMU_ORDER=random EMU_STREAMS=random device -test.run 'Conformance|Bytes'
cd "$root"
[ "${third:-1}" != 1 ] || kernels/kit/test.sh
