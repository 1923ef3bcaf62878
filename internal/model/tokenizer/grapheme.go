package tokenizer

import (
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// newerMarks are the combining marks that Unicode 16 and 17 added to those that uniseg knows. The
// reference knows them, and where clusters end decides what the charsmap replaces.
var newerMarks = &unicode.RangeTable{
	R16: []unicode.Range16{{0x0897, 0x0897, 1}, {0x1ACF, 0x1ADD, 1}, {0x1AE0, 0x1AEB, 1}},
	R32: []unicode.Range32{
		{0x10D69, 0x10D6D, 1}, {0x10EFA, 0x10EFC, 1}, {0x113B8, 0x113C0, 1}, {0x113C2, 0x113C2, 1},
		{0x113C5, 0x113C5, 1}, {0x113C7, 0x113CA, 1}, {0x113CC, 0x113D0, 1}, {0x113D2, 0x113D2, 1},
		{0x113E1, 0x113E2, 1}, {0x11B60, 0x11B67, 1}, {0x11F5A, 0x11F5A, 1}, {0x1611E, 0x1612F, 1},
		{0x1E5EE, 0x1E5EF, 1}, {0x1E6E3, 0x1E6E3, 1}, {0x1E6E6, 0x1E6E6, 1}, {0x1E6EE, 0x1E6EF, 1},
		{0x1E6F5, 0x1E6F5, 1},
	},
}

// nextCluster cuts the first extended grapheme cluster (UAX 29) off text, which must not be empty.
// state is -1 for the first call, then what the last call returned.
func nextCluster(text string, state int) (cluster, rest string, next int) {
	cluster, rest, _, next = uniseg.FirstGraphemeClusterInString(text, state)
	for rest != "" && takesMark(cluster) {
		// uniseg ends a cluster before a mark that it does not know.
		mark, _ := utf8.DecodeRuneInString(rest)
		if !unicode.Is(newerMarks, mark) {
			break
		}
		var more string
		more, rest, _, next = uniseg.FirstGraphemeClusterInString(rest, next)
		cluster = text[:len(cluster)+len(more)]
	}
	return cluster, rest, next
}

// takesMark reports whether a mark after cluster belongs to it: not after control characters, but
// after joiners.
func takesMark(cluster string) bool {
	// Cc, Cf and the separators of lines and paragraphs take no marks, except for joiners.
	last, _ := utf8.DecodeLastRuneInString(cluster)
	return unicode.Is(unicode.Join_Control, last) ||
		!unicode.In(last, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
