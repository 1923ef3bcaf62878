#!/bin/sh
# test.sh: everything that can be known about the CUDA device without a GPU. `make cuda-test` runs it.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
run=$root/kernels/with-emulator.sh
$run true || { [ $? = 75 ] && echo "cuda-test: skipped, see above" && exit 0; }
go=${GO:-go}
$run $go vet ./internal/cuda ./internal/shard ./internal/cli ./cmd/shard
$run $go test -vet=off '-ldflags=-s -w' -count=1 ./cmd/shard

# PART=sixth, which CI runs, takes a sixth of the planted mistakes, a third of the clips, and one of
# six further runs: another GPU, two other orders (each in two runs), the kit. With each commit it is
# another sixth. Of random cases it takes as many as planted mistakes are looked for with; without
# PART it is 100.
sixth= checks=100 clips=
if [ "${PART:-all}" = sixth ]; then
	sixth=$(($(git rev-parse HEAD 2>/dev/null | cksum | cut -d' ' -f1) % 6)) checks=40
	export LONGTAKE_MUTATIONS=$sixth/6
	case $((sixth % 3)) in
	0) clips='Pictures|LoRAs|Controlled|Machine' ;;
	1) clips='Experts|Controlled|Machine' ;;
	2) clips='Experts|Pictures|LoRAs' ;;
	esac
	echo "cuda-test: planted mistakes $LONGTAKE_MUTATIONS, no clips of $clips, one of six further runs"
fi
$run $go test -vet=off '-ldflags=-s -w' -count=1 -run GPU -skip "${clips:-^$}" ./internal/shard
$run $go test -vet=off '-ldflags=-s -w' -count=1 -run GPU ./internal/cli

# The device's tests are linked once, for four emulated GPUs.
$run $go test -c -vet=off '-ldflags=-s -w' -o bin/cuda/device.test ./internal/cuda
cd internal/cuda
device() { # what the emulator says of planted faults is of interest only where a test fails
	said=$("$run" "$root/bin/cuda/device.test" -test.timeout 20m "$@" 2>&1) || { echo "$said"; exit 1; }
	echo "ok	internal/cuda $*"
}

turn() { [ "${sixth:-$1}" = "$1" ]; }
device -rapid.checks=$checks
! turn 0 || EMU_GPU=rtx4090 device -rapid.checks=$checks -test.run 'Conformance|Agrees'
! turn 1 || EMU_ORDER=backward EMU_STREAMS=early device -rapid.checks=$checks -test.run Conformance
! turn 2 || EMU_ORDER=backward EMU_STREAMS=early device -test.run Bytes
! turn 3 || EMU_ORDER=random EMU_STREAMS=random device -rapid.checks=$checks -test.run Conformance
! turn 4 || EMU_ORDER=random EMU_STREAMS=random device -test.run Bytes
cd "$root"
! turn 5 || kernels/kit/test.sh
