#!/bin/bash
# run.sh [SECONDS]: on a machine with a GPU, in the root of the tree that bin/kit was built from: tests
# and times the CUDA side of longtake in the order of what is worth most, in at most so many seconds
# (460). It needs bash, python3 and a driver; torch for comparisons, nvcc, ncu and compute-sanitizer
# for more, each where it is there. Nothing is installed, fetched or set.
#
# A table comes last; $OUT (default bin/kit-out) gets report.md, rows.jsonl, stages.txt, a clip and
# the logs. What fails, is skipped or takes too long is a line of the table, too. KIT_ONLY=a,b runs
# these stages alone, and KIT_TINY=1 takes sizes for the emulated GPU.
budget=${1:-460} kit=$(cd "$(dirname "$0")" && pwd) root=$PWD
[ -f "$root/kernels/longtake.cu" ] || { echo "run.sh: run it in the root of the tree" >&2; exit 1; }
OUT=${OUT:-$root/bin/kit-out} work=${KIT_WORK:-${TMPDIR:-/tmp}/kit-work} peer=""
log=$OUT/logs
mkdir -p "$log" "$work"
export PYTHONUNBUFFERED=1
began=$(date +%s)
left() { echo $((budget - $(date +%s) + began)); }
: >"$OUT/stages.txt"
: >"$OUT/rows.jsonl"

# stage NAME MOST COMMAND...: runs it for MOST seconds at most; its output is a log, its end a line.
stage() {
	local name=$1 most=$2 rest t0 rc how
	shift 2
	case ",${KIT_ONLY:-$name}," in *",$name,"*) ;; *) return 0 ;; esac
	rest=$(left)
	[ "$rest" -gt 5 ] || { echo "$name|skipped: no time left|0" >>"$OUT/stages.txt"; return 0; }
	[ "$most" -lt "$rest" ] || most=$rest
	t0=$(date +%s)
	echo "== $name ($most s at most, $rest s left)"
	timeout -k 5 "$most" "$@" >"$log/$name.log" 2>&1
	rc=$?
	case $rc in 0) how=ok ;; 124 | 137) how="out of time" ;; *) how="FAILED ($rc)" ;; esac
	echo "$name|$how|$(($(date +%s) - t0))" >>"$OUT/stages.txt"
	[ $rc = 0 ] || tail -n 12 "$log/$name.log" | cut -c1-300
	return $rc
}

info() {
	nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
	uname -rm
	nvcc --version | tail -2 | head -1
	nproc
	command -v compute-sanitizer ncu cuobjdump
	echo "kit of $(cat "$kit/commit"), sm_$(cat "$kit/arch")"
}
# bench PATTERN: times items of `longtake bench gpu`, next to PyTorch where it is there.
bench() {
	if [ -n "${KIT_TINY:-}" ]; then set -- --sizes tiny; else set -- --only "$1" --rounds 2; fi
	"$work/longtake" bench gpu --json ${peer:+--torch "$peer"} "$@" | tee -a "$OUT/rows.jsonl"
	return "${PIPESTATUS[0]}"
}
# tests PACKAGE PATTERN [FLAG...]: runs the tests of a package whose names match.
tests() { (cd "$root/internal/$1" && "$work/$1.test" -test.timeout 5m -test.v -test.run "$2" "${@:3}"); }
load() { "$work/longtake" bench gpu --list; }
# own compiles the kernels with this machine's compiler; programs take them from LONGTAKE_KERNELS.
own() {
	local arch
	arch=$(cat "$kit/arch")
	(cd "$kit/src" && nvcc -std=c++17 -O3 --fmad=false --threads 0 -gencode "arch=compute_$arch,code=sm_$arch" \
		-Xfatbin --compress=false -fatbin longtake.cu -o "$work/own.fatbin") &&
		LONGTAKE_KERNELS=$work/own.fatbin load
}
# clip DEVICE DTYPE: the README's clip, with its latents.
clip() {
	"$work/longtake" generate --device "$1" --dtype "$2" --shards 1 --seed 1 \
		${KIT_TINY:+--size 32x32 --frames 5 --steps 2} -p "a red ball bouncing over the sea at sunset" \
		--save-latents "$OUT/$1-$2.safetensors" -o "$OUT/$1-$2.webm" --json
}
# counters KERNEL PATTERN: what one launch of a kernel did, by the GPU's counters.
counters() {
	ncu --clock-control none --section SpeedOfLight --section WarpStateStats --section LaunchStats \
		--section MemoryWorkloadAnalysis -k "regex:$1" -s 1 -c 1 \
		"$work/longtake" bench gpu --rounds 1 --only "$2"
}
# sanitize TOOL GENERATION CHECKS PATTERN: a part of the conformance suite under a memory checker.
sanitize() {
	cd "$root/internal/cuda" && compute-sanitizer --tool "$1" --error-exitcode 9 "$work/cuda.test" \
		-test.run "^TestConformance\$/^$2\$/$4" -rapid.checks="$3" -rapid.nofailfile -test.v
}
export -f info bench tests load own clip counters sanitize
export kit root work OUT

stage info 20 bash -c info
python3 "$kit/pack.py" unpack "$root" "$kit/kit.xz" "$work" || exit 1
ln -f "$work/shard.test" "$work/longtake" # one program for both: see kit_test.go of internal/shard

# 1. Do the kernels load? If the driver refuses machine code of a newer compiler, this machine's own
# compiles the sources, and all that follows takes those.
if ! stage load 40 bash -c load && command -v nvcc >/dev/null; then
	stage load-own 150 bash -c own && export LONGTAKE_KERNELS=$work/own.fatbin
fi

# 2. Are they right? v1's bits by their hash, then conformance of the newest generation.
# Random cases that fail are not written into the tree.
checks="-rapid.nofailfile" tests='^Test(Text|Transformer|Decoder|AnyNumber|Copies|Stored|Uploads|Weights|AStep)' ranks=GPU
if [ -n "${KIT_TINY:-}" ]; then # the emulated GPU runs all of them elsewhere
	checks="$checks -rapid.checks=2" tests='^TestDecoder' ranks='^Test(WhichGPUs|AMachineOfGPUs)$'
fi
stage bits 40 bash -c "tests cuda '^TestBitsAreTheSameEverywhere$'"
stage conform-v3 60 bash -c "tests cuda '^TestConformance$/^v3$' $checks"

# 3. How fast? What decides comes first: products with their epilogues, attention, the decoder; then
# blocks; then kernels of other trees; PyTorch times the same next to each of them.
python3 -c 'import torch' 2>/dev/null && peer="python3 $root/tools/bench_torch_gpu.py"
export peer
if [ -n "${KIT_TINY:-}" ]; then
	stage tiny 120 bash -c "bench ."
else
	stage gemm 90 bash -c "bench '^gemm (8192|32760x(1536|8960)x)'"
	stage attention 50 bash -c "bench '^attention (32760|32768|16384)'"
	stage blocks 85 bash -c "bench '^wan (1.3B|14B) .*block'"
	stage vae 60 bash -c "bench '^(conv|vae)'"
	stage rest 60 bash -c "bench '^(umt5|upload|wan 1.3B (step|guided|pass)|copies)'"
fi
for f in "$work"/kernels-*.fatbin; do
	[ -e "$f" ] || continue
	stage "$(basename "$f" .fatbin)" 45 env LONGTAKE_KERNELS="$f" peer= OUT="$work" \
		bash -c "bench '^attention (16384|32768)|^gemm (8192|32760x1536)'"
done

# 4. A clip as users make it, on the CPU and on the GPU, whose latents the table compares.
for on in "cpu fp32" "cpu bf16" "cuda fp32" "cuda bf16"; do
	stage "clip-${on/ /-}" 60 bash -c "clip $on"
done

# 5. Counters of the kernels that matter, the rest of the tests, memory checkers on a part of them.
if command -v ncu >/dev/null && [ -z "${KIT_TINY:-}" ]; then
	stage ncu-attention 40 bash -c "counters attention_v3_128 '^attention (8192|16384)x12x128$'"
	stage ncu-gemm 40 bash -c "counters linear_v3 '^gemm 8192'"
	stage ncu-conv 40 bash -c "counters conv_v3 '^conv'"
fi
stage conform-rest 60 bash -c "tests cuda '^TestConformance$/^(v2|v1)$' $checks"
stage package 80 bash -c "tests cuda '$tests' $checks"
stage ranks 60 bash -c "tests shard '$ranks'"
if command -v compute-sanitizer >/dev/null && [ -z "${KIT_TINY:-}" ]; then
	stage memcheck 60 bash -c "sanitize memcheck v3 5 '(LinearOfManyRows|AttentionOfManyKeys|AttentionHeads|Conv)'"
	stage racecheck 45 bash -c "sanitize racecheck v2 3 '(LinearOfManyRows|AttentionOfManyKeys)'"
fi

python3 "$kit/table.py" "$OUT" | tee "$OUT/report.md"
tar czf "$OUT/logs.tar.gz" -C "$OUT" logs && rm -rf "$log"
! grep -q FAILED "$OUT/stages.txt"
