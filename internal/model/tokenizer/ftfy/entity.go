package ftfy

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sizes of the names of HTML's character references.
const (
	nameCharsMax   = 32 // of the longest name that is looked up
	legacyBytesMax = 6  // of names that need no semicolon, such as &amp
)

// strictReference ends in a semicolon, as ftfy asks for; looseReference is what a browser tries.
var (
	strictReference = regexp.MustCompile(`&#?[0-9A-Za-z]{1,24};`)
	looseReference  = regexp.MustCompile(
		`&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)`)
	// upperSpecial are the characters of entities whose capital is more than one character.
	upperSpecial = strings.NewReplacer("ß", "SS", "ŉ", "ʼN",
		"ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL")
)

// Unescape decodes HTML5 character references as Python's html.unescape does: also those without a
// semicolon where HTML knows such, by the longest name that fits. References to characters that
// HTML forbids vanish or become U+FFFD.
func Unescape(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	return looseReference.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[1:]
		if name[0] == '#' {
			return numericReference(strings.TrimSuffix(name[1:], ";"))
		}

		if value, ok := entity(name); ok {
			return value
		}

		// Old names need no semicolon, and anything may follow them: "&ampx" is "&x".
		for size := min(legacyBytesMax, len(name)-1); size > 1; size-- {
			if value, ok := entity(name[:size]); ok {
				return value + name[size:]
			}
		}
		return ref
	})
}

// unescapeStrict decodes only references that end in a semicolon. A name in capitals is read as the
// capital of what the name in small letters means, as in &EACUTE; (ftfy's unescape_html).
func unescapeStrict(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	return strictReference.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[1:]
		if name[0] == '#' {
			if value := Unescape(ref); !strings.Contains(value, ";") {
				return value
			}
			return ref
		}

		if value, ok := entity(name); ok {
			return value
		}

		lower := strings.ToLower(name)
		if name != strings.ToUpper(name) || Unescape(ref) != ref {
			return ref
		}
		if value, ok := entity(lower); ok {
			return strings.ToUpper(upperSpecial.Replace(value))
		}
		return ref
	})
}

// entity looks up a name, with its semicolon where it has one, in the table of Go's html package.
// That has no look-up of its own, so this decodes a reference and checks whether all of it was
// used. The table also lacks two names.
func entity(name string) (string, bool) {
	switch name {
	case "nLt;":
		return "≪\u20d2", true
	case "nGt;":
		return "≫\u20d2", true
	}

	// Anything else, html might decode in part, as numbers or as a shorter name.
	bare := strings.TrimSuffix(name, ";")
	for i := range len(bare) {
		if !isAlphanumeric(bare[i]) {
			return "", false
		}
	}
	if bare == "" || len(bare) > nameCharsMax {
		return "", false
	}

	// All of the name was used if nothing of it is left: without a semicolon the value is a single
	// character, and with one it does not end in a semicolon.
	value := html.UnescapeString("&" + name)
	if bare == name {
		return value, utf8.RuneCountInString(value) == 1
	}
	return value, !strings.HasSuffix(value, ";") || bare == "semi"
}

// isAlphanumeric reports whether b is an ASCII letter or digit.
func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// numericReference decodes what follows "&#": decimal digits, or an x and hexadecimal ones. Numbers
// 80 to 9F mean Windows-1252, as in browsers.
func numericReference(digits string) string {
	base := 10
	if digits[0] == 'x' || digits[0] == 'X' {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 32)
	switch {
	case err != nil, n == 0, n > utf8.MaxRune, n >= 0xD800 && n <= 0xDFFF:
		return "\uFFFD"
	case n >= 0x80 && n <= 0x9F:
		return string(windows1252.decode[n])
	case isForbidden(rune(n)):
		return ""
	}
	return string(rune(n))
}

// isForbidden reports whether char is a control character or noncharacter that HTML forbids to
// refer to.
func isForbidden(char rune) bool {
	return char < 0x09 || char == 0x0B || char >= 0x0E && char < 0x20 || char == 0x7F ||
		char >= 0xFDD0 && char <= 0xFDEF || char&0xFFFE == 0xFFFE
}
