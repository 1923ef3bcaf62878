package ftfy

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// codepage is a single-byte encoding that UTF-8 is mistaken for.
type codepage struct {
	decode [256]rune     // byte to character
	encode map[rune]byte // character to byte
	sloppy bool          // whether U+FFFD stands for byte 1A, as in ftfy's "sloppy" encodings
	roman  bool          // MacRoman, in which an en dash before a space is a false alarm
}

// Codepages are tried in this order, the likeliest mistakes first; windows1252 also serves C1
// control characters.
var (
	windows1252 = newCodepage(charmap.Windows1252, true)
	codepages   = []*codepage{
		newLatin1(),
		windows1252,
		newCodepage(charmap.Windows1251, true),
		newCodepage(charmap.Windows1250, true),
		newCodepage(charmap.Windows1253, true),
		newCodepage(charmap.Windows1254, true),
		newCodepage(charmap.Windows1257, true),
		newCodepage(charmap.ISO8859_2, false),
		newMacRoman(),
		newCodepage(charmap.CodePage437, false),
	}
)

// newCodepage takes the table of m. Bytes that it leaves undefined decode as in Latin-1, as
// browsers do.
func newCodepage(m *charmap.Charmap, sloppy bool) *codepage {
	p := &codepage{encode: map[rune]byte{}, sloppy: sloppy}
	for b := range p.decode {
		if p.decode[b] = m.DecodeByte(byte(b)); p.decode[b] == utf8.RuneError {
			p.decode[b] = rune(b)
		}
	}
	if sloppy {
		p.decode[0x1A] = utf8.RuneError
	}
	for b, char := range p.decode {
		p.encode[char] = byte(b)
	}
	return p
}

// newLatin1 returns ISO-8859-1, in which every byte is the character of the same number.
func newLatin1() *codepage { return newCodepage(charmap.ISO8859_1, false) }

// newMacRoman returns the encoding of old Macs.
func newMacRoman() *codepage {
	p := newCodepage(charmap.Macintosh, false)
	p.roman = true
	return p
}

// bytes encodes text; not ok where it has a character that p lacks.
func (p *codepage) bytes(text string) (string, bool) {
	out := make([]byte, 0, len(text))
	for _, char := range text {
		b, ok := p.encode[char]
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}

// charSet is a set of characters.
type charSet map[rune]bool

// The characters that the bytes of UTF-8 sequences become in an encoding like Latin-1: leads of
// sequences of two, three and four bytes, continuations (a space may stand for A0), and the
// continuations that have no meaning by themselves.
var (
	leads2        = decodings(0xC2, 0xDF)
	leads3        = decodings(0xE0, 0xEF)
	leads4        = union(decodings(0xF0, 0xF0), decodings(0xF3, 0xF3))
	continuations = union(decodings(0x80, 0xBF), charSet{' ': true})
	strictOnes    = without(decodings(0x80, 0xBF), "–—―‘’‚“”„•…")
)

// decodings collects what the bytes lo to hi are in Latin-1 and the Windows code pages, the first
// seven of codepages.
func decodings(lo, hi int) charSet {
	set := charSet{}
	for _, p := range codepages[:7] {
		for _, char := range p.decode[lo : hi+1] {
			set[char] = true
		}
	}
	return set
}

// union adds b to a, and returns a.
func union(a, b charSet) charSet {
	for char := range b {
		a[char] = true
	}
	return a
}

// without removes chars from set, and returns it.
func without(set charSet, chars string) charSet {
	for _, char := range chars {
		delete(set, char)
	}
	return set
}

// all reports whether the first n of chars exist and are all in the set.
func (s charSet) all(chars []rune, n int) bool {
	if len(chars) < n {
		return false
	}
	for _, char := range chars[:n] {
		if !s[char] {
			return false
		}
	}
	return true
}

// decodeC1 reads C1 control characters as Windows-1252, as browsers do.
func decodeC1(text string) string {
	return strings.Map(func(char rune) rune {
		if char >= 0x80 && char <= 0x9F {
			return windows1252.decode[char]
		}
		return char
	}, text)
}
