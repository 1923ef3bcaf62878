package ftfy

import (
	"strings"
	"unicode/utf8"
)

// cesuSize is the size of a character above U+FFFF as CESU-8 writes it: two surrogates of three
// bytes each.
const cesuSize = 6

// surrogatePair decodes the CESU-8 character that text starts with; not ok if there is none.
func surrogatePair(text string) (rune, bool) {
	if len(text) < cesuSize || text[0] != 0xED || text[3] != 0xED ||
		text[1]>>4 != 0xA || text[2]>>6 != 2 || text[4]>>4 != 0xB || text[5]>>6 != 2 {
		return 0, false
	}
	return cesuRune(text), true
}

// cesuRune puts the bits of two surrogates together, without checking any.
func cesuRune(text string) rune {
	return 0x10000 + rune(text[1]&0x0F)<<16 + rune(text[2]&0x3F)<<10 +
		rune(text[4]&0x0F)<<6 + rune(text[5]&0x3F)
}

// decodeUTF8 decodes bytes as UTF-8, strictly. If a byte C0 or ED is among them it accepts the
// variants, too: CESU-8 and Java's two-byte NUL.
func decodeUTF8(text string) (string, bool) {
	if utf8.ValidString(text) {
		return text, true
	}

	if strings.IndexByte(text, 0xC0) < 0 && strings.IndexByte(text, 0xED) < 0 {
		return "", false
	}

	var out strings.Builder
	for at := 0; at < len(text); {
		// Whatever is valid as it is stays so.
		char, size := utf8.DecodeRuneInString(text[at:])
		if char == utf8.RuneError && size == 1 {
			if char, size = decodeVariant(text[at:]); size == 0 {
				return "", false
			}
		}
		out.WriteRune(char)
		at += size
	}
	return out.String(), true
}

// decodeVariant decodes what UTF-8 forbids and the variants allow; size 0 where they do not either.
// The reference also lets a final line break stand for the last byte of a sequence, as its patterns
// end in $, and so does this.
func decodeVariant(text string) (char rune, size int) {
	if text[0] == 0xC0 && (strings.HasPrefix(text[1:], "\x80") || text[1:] == "\n") {
		return 0, 2
	}
	if char, ok := surrogatePair(text); ok {
		return char, cesuSize
	}
	if len(text) == cesuSize && text[5] == '\n' {
		if _, ok := surrogatePair(text[:5] + "\x80"); ok {
			return cesuRune(text), cesuSize
		}
	}
	return 0, 0
}
