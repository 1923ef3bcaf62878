#!/bin/sh
# gpu-test.sh: what is tested on an emulated GPU, on the machine's own. `make gpu-test` runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
"$here/need-gpu.sh" gpu-test
"$here/build.sh" >/dev/null
bin/cuda/longtake bench gpu --list
run=$here/with-gpu.sh
$run ${GO:-go} test -tags cuda -count=1 -timeout 30m ./internal/cuda
$run ${GO:-go} test -tags cuda -count=1 -timeout 30m -run GPU ./internal/shard ./internal/cli
