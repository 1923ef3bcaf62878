# What ptxas -v says of every kernel, as rows of a table; exits with 1 when one spills or keeps
# variables on a stack, which is slow memory too.
/Compiling entry function/ { split($0, q, "'"); kernel = q[2]; arch = q[4] }
/bytes stack frame/ { stack = $1; spills = $5 + $9 }
/Used [0-9]+ registers/ {
	match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
	shared = 0
	if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
	printf "| %s | %s | %d | %d | %d | %d |\n", kernel, arch, registers, shared, stack, spills
	if (stack + spills > 0) { print kernel " spills on " arch > "/dev/stderr"; bad = 1 }
}
END { exit bad }
