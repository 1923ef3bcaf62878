package ftfy

import (
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// marksMax is how many combining marks in a row norm takes as they are; decompositions count too,
// so crowded is careful and asks for far fewer.
const marksMax = 12

// crowded tells whether text has a long run of characters that are no starters.
func crowded(text string) bool {
	run := 0
	for at := 0; at < len(text); {
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

// composeCrowded is NFC by the book for any number of marks: decompose, order, compose.
// Source: The Unicode Standard, section 3.11.
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

// decompose gives the canonical decomposition with its marks in order.
func decompose(text string) []rune {
	var chars []rune
	for _, c := range text {
		chars = append(chars, []rune(norm.NFD.String(string(c)))...)
	}
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

// join composes a starter with the character after it, where there is a character for both.
func join(starter, c rune) (rune, bool) {
	var pair strings.Builder
	pair.WriteRune(starter)
	pair.WriteRune(c)
	joined := norm.NFC.String(pair.String())
	r, size := utf8.DecodeRuneInString(joined)
	return r, size == len(joined)
}

func combiningClass(c rune) uint8 { return norm.NFD.PropertiesString(string(c)).CCC() }
