#!/bin/bash
# test.sh: builds the kit as for a GPU and runs it whole on the emulated one, in tiny sizes. kernels/
# test.sh runs it. The kernels for GPUs need nvcc from PyPI; where it cannot be fetched this says so.
set -eu
cd "$(dirname "$0")/../.."
kernels/fetch.sh compiler.txt >/dev/null || { echo "gpu-kit: skipped, nvcc cannot be fetched"; exit 0; }
out=$PWD/bin/kit-test
said=$(KIT_LEVEL=0 kernels/kit/build.sh "$out" 2>&1) || { echo "$said"; exit 1; }
make -s -C kernels host
said=$(LD_LIBRARY_PATH=$PWD/bin/cuda/emu LONGTAKE_KERNELS=$PWD/bin/cuda/emu/module KIT_TINY=1 \
	KIT_WORK=$out/work OUT=$out/out bash "$out/run.sh" 600 2>&1) || { echo "$said"; exit 1; }

# Every stage that needs no GPU has to end well, and the table has to show it.
for s in load bits conform-v3 tiny clip-cuda-fp32 clip-cuda-bf16 conform-rest package ranks; do
	grep -q "^$s|ok|" "$out/out/stages.txt" || { echo "gpu-kit: $s: $said"; exit 1; }
	grep -q "^| $s | ok |" "$out/out/report.md" || { echo "gpu-kit: $s is not in the table"; exit 1; }
done
for row in '| gemm ' '| attention ' '- cuda-fp32: ' '- cuda-bf16: '; do
	grep -qe "^$row" "$out/out/report.md" || { echo "gpu-kit: no line \"$row\": $said"; exit 1; }
done
rm -rf "$out"
echo "ok	gpu-kit"
