package ftfy

import (
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// marksMax is how many combining marks in a row are left to package norm. Its limit is 30, but
// decompositions count too, so that crowded asks for far fewer.
const marksMax = 12

// crowded reports whether text has a long run of characters that are not starters.
func crowded(text string) bool {
	run := 0
	for at := 0; at < len(text); {
		// A character counts if it, or the end of its decomposition, is not a starter.
		p := norm.NFD.PropertiesString(text[at:])
		if p.CCC() == 0 && p.TrailCCC() == 0 {
			run = 0
		} else {
			run++
		}
		if run > marksMax {
			return true
		}
		at += max(p.Size(), 1)
	}
	return false
}

// composeCrowded is NFC for any number of marks, as The Unicode Standard, section 3.11, defines it:
// decompose, order, compose.
func composeCrowded(text string) string {
	chars := decompose(text)
	var out []rune

	starter, last := -1, uint8(0)
	for _, c := range chars {
		class := combiningClass(c)
		if starter >= 0 && (last < class || last == 0 && starter == len(out)-1) {
			if joined, ok := join(out[starter], c); ok {
				out[starter] = joined
				continue
			}
		}

		if class == 0 {
			starter = len(out)
		}
		last = class
		out = append(out, c)
	}
	return string(out)
}

// decompose returns the canonical decomposition, with the marks of each run in the order of their
// classes.
func decompose(text string) []rune {
	var chars []rune
	for _, c := range text {
		chars = append(chars, []rune(norm.NFD.String(string(c)))...)
	}

	// Marks of one class keep their order, hence a stable sort.
	for lo := 0; lo < len(chars); lo++ {
		hi := lo
		for hi < len(chars) && combiningClass(chars[hi]) != 0 {
			hi++
		}

		marks := chars[lo:hi]
		sort.SliceStable(marks, func(i, j int) bool {
			return combiningClass(marks[i]) < combiningClass(marks[j])
		})
		lo = hi
	}
	return chars
}

// join composes a starter with the character after it, where there is one character for both.
func join(starter, c rune) (rune, bool) {
	var pair strings.Builder
	pair.WriteRune(starter)
	pair.WriteRune(c)
	joined := norm.NFC.String(pair.String())
	r, size := utf8.DecodeRuneInString(joined)
	return r, size == len(joined)
}

// combiningClass returns the canonical combining class: 0 for starters.
func combiningClass(c rune) uint8 { return norm.NFD.PropertiesString(string(c)).CCC() }
