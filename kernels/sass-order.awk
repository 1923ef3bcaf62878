# sass-order.awk: what the compiler made of attention_v3's loop over tiles of keys. Reads what
# `cuobjdump -sass` or `nvdisasm` prints of a cubin or fatbin, and prints, per kernel named
# attention_v3*, the loop's instructions by class. It fails unless every such kernel has one loop with
# products in it, all of whose exponentials (MUFU.EX2) lie between its two waits for products
# (WARPGROUP.DEPBAR: first all but one group, then all): that is where the tensor cores have something
# to do beside them. It also fails on local memory (spills), and on more waits than two, which is
# what serialized products look like.
#
#   cuobjdump -sass kernels.fatbin | awk -f sass-order.awk
#
# Other architectures' code of these kernels, which traps at once, has no products and does not count.

function fail(text) {
	print "sass-order: " kernel ": " text >"/dev/stderr"
	bad = 1
}

# class names what an instruction is counted as.
function class(op) {
	if (op ~ /^HGMMA/) return "products"
	if (op ~ /^MUFU\.EX2/) return "exponentials"
	if (op ~ /^(FMNMX|FMUL|FFMA|FADD|FSETP|FSEL|F2FP)/) return "float32"
	if (op ~ /^(U[A-Z0-9]|R2UR|VOTEU|S2UR)/) return "uniform"
	if (op ~ /^(BAR|SYNCS|WARPGROUP|BRA|BSSY|BSYNC|VOTE|SHFL|STS|LDS)/) return "order"
	return "other"
}

# target returns the index of the instruction that a branch goes to, 0 for one that is no branch.
# cuobjdump writes addresses, nvdisasm labels.
function target(text,   m) {
	if (text !~ /BRA/) return 0
	if (match(text, /0x[0-9a-f]+/)) return at[substr(text, RSTART + 2, RLENGTH - 2)]
	if (match(text, /\.L_x?_?[0-9]+/)) return at[substr(text, RSTART, RLENGTH)]
	return 0
}

# judge looks at the kernel that has just ended: its instructions are text[1] to text[n].
function judge(   i, j, from, first, last, loops, op, c, waits, spots, early, late, all, list) {
	if (kernel !~ /attention_v3/ || !products) return
	seen++

	# The loop is the shortest backward branch around products with a weight in registers and without.
	for (i = 1; i <= n; i++) {
		j = target(text[i])
		if (!j || j > i) continue
		all = 0
		for (c = j; c <= i; c++) if (text[c] ~ /HGMMA/) all++
		if (all >= 8 && (!loops || i - j < last - first)) { first = j; last = i; loops++ }
	}
	if (!loops) return fail("has no loop with products")

	delete count
	for (i = first; i <= last; i++) {
		op = text[i]
		sub(/^@!?U?P[0-9T]+ +/, "", op)
		sub(/[ ;].*/, "", op)
		count[class(op)]++
		if (op ~ /^(LDL|STL)/) fail("uses local memory in its loop: " text[i])
		if (op ~ /^WARPGROUP\.DEPBAR/) spots[++waits] = text[i]
		if (op ~ /^MUFU\.EX2/) { if (waits == 0) early++; else if (waits > 1) late++ }
	}
	printf "%s: %d instructions a tile:", kernel, last - first + 1
	for (i = 1; i <= split("products exponentials float32 uniform order other", list, " "); i++)
		printf " %s %d%s", list[i], count[list[i]], i < 6 ? "," : "\n"
	if (waits != 2) return fail("waits " waits + 0 " times for products in its loop, want 2")
	if (spots[1] !~ /0x1/ || spots[2] !~ /0x0/)
		fail("waits for other groups than all but one, then all: " spots[1] " " spots[2])
	if (early || late || !count["exponentials"])
		fail("has " early + 0 " exponentials before its first wait for products, " late + 0 " after its second, " \
			"of " count["exponentials"] + 0 "; want none")
}

# A kernel begins: with cuobjdump, with nvdisasm.
/Function : / || /^\.text\./ {
	judge()
	kernel = $NF
	sub(/^\.text\./, "", kernel)
	sub(/:$/, "", kernel)
	n = products = 0
	delete at
	next
}

/^\.L[_x0-9]+:/ { sub(/:.*/, ""); at[$0] = n + 1; next }

# An instruction: its address and its text.
match($0, /\/\*[0-9a-f][0-9a-f][0-9a-f][0-9a-f]+\*\/ +[@A-Z]/) {
	address = substr($0, RSTART + 2)
	sub(/\*.*/, "", address)
	sub(/^0+/, "", address)
	line = substr($0, RSTART + RLENGTH - 1)
	sub(/;.*/, ";", line)
	text[++n] = line
	at[address == "" ? "0" : address] = n
	if (line ~ /HGMMA/) products++
	if (kernel ~ /attention_v3/ && line ~ /(LDL|STL)/) fail("uses local memory: " line)
}

END {
	judge()
	if (!seen) { print "sass-order: there is no attention_v3 with products in what was read" >"/dev/stderr"; bad = 1 }
	exit bad
}
