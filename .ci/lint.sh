#!/usr/bin/env bash
# lint.sh: staticcheck and govulncheck, in the versions below, and golangci-lint where it is installed
# (CI installs it; building it here would take longer than the tests). `make lint` runs it. A tool
# that cannot be fetched, or has no network for its database, is skipped with one line; what a tool
# finds fails. With VULNERABILITIES=report, those that govulncheck finds are printed only: they are
# published for code that has not changed, and must not stop other work.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
tools=$PWD/bin/tools
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0
golangci=2.15.0

# fetch PACKAGE@VERSION installs a tool, once for each version.
fetch() {
	local name
	name=$(basename "${1%@*}")
	[ -x "$tools/$1/$name" ] && return
	GOBIN=$tools/$1 GOFLAGS= $go install "$1" 2>"$tools.log" ||
		{ echo "lint: $name is skipped, it cannot be fetched: $(tail -1 "$tools.log")"; return 1; }
}

failed=0
mkdir -p "$tools"
if fetch $staticcheck; then
	"$tools/$staticcheck/staticcheck" ./... || failed=1
fi

if fetch $govulncheck; then
	found=0
	report=$("$tools/$govulncheck/govulncheck" ./... 2>&1) || found=$?
	case $found in
	0) ;;
	3) # vulnerable code that is called
		echo "$report"
		[ "${VULNERABILITIES:-fail}" = report ] || failed=1
		;;
	*) echo "lint: govulncheck is skipped: $(tail -1 <<<"$report")" ;;
	esac
fi

if command -v golangci-lint >/dev/null; then
	case $(golangci-lint version 2>/dev/null) in
	*" $golangci "*) golangci-lint run || failed=1 ;;
	*) echo "lint: golangci-lint is skipped, it is not version $golangci" ;;
	esac
else
	echo "lint: golangci-lint is skipped, it is not installed"
fi
exit $failed
