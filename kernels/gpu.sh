#!/bin/sh
# gpu.sh OUT: compiles the kernels to OUT/kernels.fatbin for sm_80 to sm_90a and prints what each needs
# of a GPU. It fails when a kernel spills, and when the table differs from resources.md; UPDATE=1 writes
# that. The compiler is the one from PyPI that compiler.txt pins; NVCC may name another, whose
# registers are its own and are not compared.
set -eu
out=$1
cd "$(dirname "$0")"
mkdir -p "$out"
own=${NVCC:-}
NVCC=${NVCC:-$(./fetch.sh compiler.txt)/nvidia/cu13/bin/nvcc}
archs="80 86 89 90a"
set --
for a in $archs; do set -- "$@" -gencode "arch=compute_$a,code=sm_$a"; done
PATH=$(dirname "$NVCC"):$PATH
"$NVCC" -std=c++17 -O3 --fmad=false -Xptxas -v "$@" -Xfatbin --compress=false -fatbin longtake.cu \
	-o "$out/kernels.fatbin" 2>"$out/ptxas.log" || { cat "$out/ptxas.log" >&2; exit 1; }
grep -E '(error|warning)' "$out/ptxas.log" >&2 || true
awk -f resources.awk "$out/ptxas.log" >"$out/rows"
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
