#!/bin/sh
# gpu.sh OUT: compiles the kernels to OUT/kernels.fatbin for every architecture that they run on and
# prints what each needs of a GPU. It fails when a kernel spills, and when the table differs from
# resources.md; UPDATE=1 writes that. NVCC may name another compiler than the pinned one: its
# registers are its own and are not compared.
set -eu
out=$1
cd "$(dirname "$0")"
own=${NVCC:-}
NVCC=${NVCC:-$(./fetch.sh compiler.txt)/nvidia/cu13/bin/nvcc}
export NVCC
# Machine code of sm_100 runs on sm_103 as well, and that of sm_120 on sm_121; only 90a is for one GPU.
./compile.sh . "$out/kernels" 80 86 89 90a 100 120
awk -f resources.awk "$out/kernels.log" >"$out/rows"
{
	echo "# What kernels need"
	echo
	echo "Made by \`UPDATE=1 make cuda\` with nvcc $("$NVCC" --version | sed -n 's/.* V\([0-9.]*\)$/\1/p'); \`make cuda\` compares."
	echo
	echo "| kernel | architecture | registers | shared bytes | stack bytes | spilled bytes |"
	echo "|---|---|---|---|---|---|"
	LC_ALL=C sort "$out/rows"
} >"$out/resources.md"
cat "$out/resources.md"
[ -n "$own" ] || [ -z "${UPDATE:-}" ] || cp "$out/resources.md" resources.md
[ -n "$own" ] || cmp -s "$out/resources.md" resources.md || {
	echo "the table differs from kernels/resources.md; UPDATE=1 make cuda writes it" >&2
	exit 1
}
