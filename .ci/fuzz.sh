#!/usr/bin/env bash
# fuzz.sh COUNT: gives every fuzz target that many inputs (5000x), or that much time (1m). `make
# fuzz` runs it. `go test -fuzz` takes one target at a time and links a binary for each; this links
# one for each package, several packages at once, which takes most of the time away where inputs are
# few. It pays to look for inputs that reach new code where there is time for millions of them; for
# a few thousand it does not, as all that is linked would be compiled once more, to be watched.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many inputs, as 5000x, or for how long, as 1m}
go=${GO:-go}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
corpus=$($go env GOCACHE)/fuzz # where `go test -fuzz` keeps its inputs as well
watched=-fuzz=.
if [[ $count == *x ]]; then watched=; fi

# shellcheck disable=SC2207 # no folder has a space in its name
dirs=($(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u))
for ((at = 0; at < ${#dirs[@]}; at += 8)); do # so that few binaries lie on the disk at once
	some=("${dirs[@]:at:8}")
	mkdir "$out/bin"
	$go test -c $watched -ldflags='-s -w' -o "$out/bin/" "${some[@]}"
	for dir in "${some[@]}"; do
		for target in $(grep -hoE '^func Fuzz\w+' "$dir"/*_test.go | cut -d' ' -f2); do
			echo "fuzz $dir $target"
			# A failing input is written to testdata/fuzz below the working directory.
			(cd "$dir" && "$out/bin/${dir##*/}.test" -test.run '^$' -test.fuzz "^$target\$" \
				-test.fuzztime "$count" -test.fuzzminimizetime 1x \
				-test.fuzzcachedir "$corpus/github.com/longtake/longtake/$dir") \
				>"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
		done
	done
	rm -r "$out/bin"
done
