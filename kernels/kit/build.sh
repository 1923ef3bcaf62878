#!/bin/sh
# build.sh [OUT]: everything that a machine with a GPU needs to test and time the CUDA side, built on
# one that has none: programs with kernels for one architecture, tests, and what runs them. OUT is
# bin/kit, or the folder that is given. `make gpu-kit` runs it. KIT_ARCH is the architecture, 90a if it
# is not set; KIT_VARIANTS ("name=folder ...") adds kernels of other trees, to be timed side by side.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/bin/kit}
work=$root/bin/kit-work
arch=${KIT_ARCH:-90a}
rm -rf "$work" "$out"
mkdir -p "$work/bin" "$out"
cd "$root"
CUDA_INCLUDE=${CUDA_INCLUDE:-$(kernels/fetch.sh headers.txt)/nvidia/cuda_runtime/include}
export CUDA_INCLUDE

# The kernels of this tree, in the programs, and others as files of their own.
kernels/compile.sh kernels "$work/gpu/kernels" "$arch"
for v in ${KIT_VARIANTS:-}; do kernels/compile.sh "${v#*=}" "$work/kernels-${v%%=*}" "$arch"; done
make -s -C kernels OUT="$work" gpu

# Programs and tests. shard.test is the command longtake, too: apart they would be a fourth larger.
go() { CUDA_OUT=$work kernels/with-gpu.sh "${GO:-go}" "$@"; }
# What is packed in haste, for a test, shares what other tests have compiled.
flags="-tags cuda,kit,netgo,osusergo -ldflags=-s"
[ "${KIT_LEVEL:-9}" = 0 ] || flags="$flags -trimpath"
go test -c -vet=off $flags -o "$work/bin/cuda.test" ./internal/cuda
go test -c -vet=off $flags -o "$work/bin/shard.test" ./internal/shard
for f in "$work"/kernels-*.fatbin; do [ ! -e "$f" ] || cp "$f" "$work/bin/"; done

# What the programs hold of files that the tree has, such as the built-in model, is left out: the tree
# travels with the kit.
python3 "$here/pack.py" pack "$root" "$work/bin" "$out/kit.xz"
cp "$here/run.sh" "$here/table.py" "$here/pack.py" "$out/"
mkdir "$out/src"
tar cf - -C kernels longtake.cu attention conv elementwise linear norm include | tar xf - -C "$out/src"
{ git describe --tags --always --dirty 2>/dev/null || echo unknown; } >"$out/commit"
echo "$arch" >"$out/arch"
rm -rf "$work"

# A machine may take no more than so much, the tree included. What is packed in haste, for a test, is
# larger and stays here.
size=$(du -sk "$out" | cut -f1)
tree=$(($(git ls-files -z | xargs -0 cat 2>/dev/null | wc -c) / 1024))
echo "built $out: $size KiB; on the machine, in a copy of this tree: bash bin/kit/run.sh 460"
[ "${KIT_LEVEL:-9}" = 0 ] || [ $((size + tree)) -le 65536 ] ||
	{ echo "the kit and the tree are larger than 64 MiB: $size and $tree KiB" >&2; exit 1; }
