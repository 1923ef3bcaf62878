package ftfy

import (
	"regexp"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// terminalEscape is an ANSI escape sequence, such as a change of colour.
var terminalEscape = regexp.MustCompile(`\x1b\[[\p{Nd};]*[a-zA-Z]`)

// ligatures made of Latin letters, with the letters that they are made of.
var ligatures = strings.NewReplacer(
	"Ĳ", "IJ", "ĳ", "ij", "ŉ", "ʼn", "Ǳ", "DZ", "ǲ", "Dz", "ǳ", "dz", "Ǆ", "DŽ", "ǅ", "Dž",
	"ǆ", "dž", "Ǉ", "LJ", "ǈ", "Lj", "ǉ", "lj", "Ǌ", "NJ", "ǋ", "Nj", "ǌ", "nj",
	"ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "ſt", "ﬆ", "st",
)

// lineBreaks become the one that Unix has.
var lineBreaks = strings.NewReplacer(
	"\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n")

// fixChars applies the repairs of single characters, in ftfy's order, which matters: later repairs
// see what earlier ones have made.
func fixChars(text string) string {
	text = decodeC1(text)
	text = ligatures.Replace(text)
	text = fixWidth(text)
	text = strings.Map(straightQuote, text)
	text = lineBreaks.Replace(text)
	text = terminalEscape.ReplaceAllLiteralString(text, "")
	return strings.Map(dropControl, text)
}

// fixWidth gives halfwidth and fullwidth forms, as East Asian fonts have them, their usual width.
func fixWidth(text string) string {
	if !strings.ContainsFunc(text, isWidthForm) {
		return text
	}

	var out strings.Builder
	for _, char := range text {
		switch {
		case char == '\u3000':
			out.WriteByte(' ')
		case isWidthForm(char):
			out.WriteString(norm.NFKC.String(string(char)))
		default:
			out.WriteRune(char)
		}
	}
	return out.String()
}

// isWidthForm reports whether fixWidth replaces a character.
func isWidthForm(char rune) bool {
	return char == '\u3000' || char >= 0xFF01 && char < 0xFFF0
}

// straightQuote maps curly quotation marks to ' and ".
func straightQuote(char rune) rune {
	switch {
	case char == '\u02BC', char >= '\u2018' && char <= '\u201B':
		return '\''
	case char >= '\u201C' && char <= '\u201F':
		return '"'
	}
	return char
}

// dropControl drops control characters that show nothing. It keeps those that are white space,
// joiners or direction marks.
func dropControl(char rune) rune {
	switch {
	case char < 0x09, char == 0x0B, char >= 0x0E && char < 0x20, char == 0x7F,
		char >= 0x206A && char < 0x2070, char == 0xFEFF, char >= 0xFFF9 && char < 0xFFFD:
		return -1
	}
	return char
}
