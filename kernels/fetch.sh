#!/bin/sh
# fetch.sh LIST: unpacks the PyPI packages of a list (headers.txt, compiler.txt) into a cache, once,
# and prints the folder that holds nvidia/. Needs python3 with pip.
set -eu
list=$(cd "$(dirname "$0")" && pwd)/$1
sum=$(cksum <"$list" | cut -d' ' -f1)
to=${LONGTAKE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/longtake}/cuda/${1%.txt}-$sum
if [ ! -e "$to" ]; then
	command -v python3 >/dev/null || { echo "python3 is not there to fetch $1" >&2; exit 1; }
	mkdir -p "$(dirname "$to")"
	new=$(mktemp -d "$to.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
		-r "$list" -d "$new/wheels" >&2
	for wheel in "$new"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$new"; done
	rm -r "$new/wheels"
	chmod -R a+rX "$new"
	for tool in "$new"/nvidia/*/bin/* "$new"/nvidia/*/nvvm/bin/*; do
		[ ! -f "$tool" ] || chmod a+x "$tool"
	done
	mv -T "$new" "$to" 2>/dev/null || [ -e "$to" ] # another run may have been faster
fi
echo "$to"
