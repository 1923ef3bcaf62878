#!/usr/bin/env bash
# fuzz.sh COUNT: gives every fuzz target that many inputs (2000x), or that much time (1m). `make
# fuzz` runs it. `go test -fuzz` takes one target at a time and links a binary for each; this links
# one for each package, which takes most of the time away where inputs are few.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many inputs, as 2000x, or for how long, as 1m}
go=${GO:-go}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
corpus=$($go env GOCACHE)/fuzz # where `go test -fuzz` keeps its inputs as well

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do
	$go test -c -fuzz=. -ldflags='-s -w' -o "$out/fuzz.test" "$dir"
	for target in $(grep -hoE '^func Fuzz\w+' "$dir"/*_test.go | cut -d' ' -f2); do
		echo "fuzz $dir $target"
		# A failing input is written to testdata/fuzz below the working directory.
		(cd "$dir" && "$out/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$count" \
			-test.fuzzminimizetime 1x -test.fuzzcachedir "$corpus/github.com/longtake/longtake/$dir") \
			>"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
	done
done
