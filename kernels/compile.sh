#!/bin/sh
# compile.sh SOURCES OUT ARCH...: compiles the kernels of a folder to OUT.fatbin, with machine code for
# each architecture (80 is sm_80). OUT.log gets what ptxas says, OUT.elf what there is machine code for,
# and OUT.order the instructions of attention's loop. It fails when ptxas gives up what a kernel is built
# on, where an architecture is missing, and where softmax does not run beside products (sass-order.awk).
# The compiler is the one from PyPI that compiler.txt pins; NVCC may name another.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
from=$1 out=$2
shift 2
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
NVCC=${NVCC:-$("$here/fetch.sh" compiler.txt)/nvidia/cu13/bin/nvcc}
PATH=$(dirname "$NVCC"):$PATH
archs=$*
set --
for a in $archs; do set -- "$@" -gencode "arch=compute_$a,code=sm_$a"; done
(cd "$from" && "$NVCC" -std=c++17 -O3 --fmad=false --threads 0 -Xptxas -v "$@" -Xfatbin --compress=false \
	-fatbin longtake.cu -o "$out.fatbin") 2>"$out.log" || { cat "$out.log" >&2; exit 1; }
grep -E '(error|warning)' "$out.log" >&2 || true

# C7508: setmaxnreg is ignored. C7510: products of wgmma wait for each other, in one place or all.
if grep -E 'C75(08|10)|wgmma.*serializ' "$out.log" >&2; then
	echo "ptxas has given up registers or the overlap of products, see above" >&2
	exit 1
fi

command -v cuobjdump >/dev/null || { echo "compile.sh: there is no cuobjdump; the machine code is not checked" >&2; exit 0; }
cuobjdump -lelf "$out.fatbin" >"$out.elf"
for a in $archs; do
	grep -q "\.sm_$a\." "$out.elf" || { echo "there is no machine code for sm_$a" >&2; exit 1; }
done
case " $archs " in *" 90a "*) cuobjdump -sass -arch sm_90a "$out.fatbin" | awk -f "$here/sass-order.awk" >"$out.order" ;; esac
