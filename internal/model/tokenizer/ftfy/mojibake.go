package ftfy

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Patterns over bytes, each byte written as the character of the same number.
var (
	// alteredUTF8 is UTF-8 whose byte A0 became a space, where that makes a likely character.
	alteredUTF8 = regexp.MustCompile(
		"[\u00c2\u00c3\u00c5\u00ce\u00d0\u00d9] " +
			"|[\u00e2\u00e3] [\u0080-\u0084\u0086-\u009f\u00a1-\u00bf]" +
			"|[\u00e0-\u00e3][\u0080-\u0084\u0086-\u009f\u00a1-\u00bf] " +
			"|\u00f0 [\u0080-\u00bf][\u0080-\u00bf]" +
			"|\u00f0[\u0080-\u00bf] [\u0080-\u00bf]" +
			"|\u00f0[\u0080-\u00bf][\u0080-\u00bf] ")
	// lossyUTF8 is UTF-8 or CESU-8 of which bytes were lost: 1A, or once a question mark.
	lossyUTF8 = regexp.MustCompile(
		"[\u00c2-\u00df]\x1a|[\u00c2-\u00c3][?]" +
			"|\u00ed[\u00a0-\u00af][\x1a?]\u00ed[\u00b0-\u00bf][\x1a?\u0080-\u00bf]" +
			"|\u00ed[\u00a0-\u00af][\x1a?\u0080-\u00bf]\u00ed[\u00b0-\u00bf][\x1a?]" +
			"|[\u00e0-\u00ef][\x1a?][\x1a\u0080-\u00bf]" +
			"|[\u00e0-\u00ef][\x1a\u0080-\u00bf][\x1a?]" +
			"|[\u00f0-\u00f4][\x1a?][\x1a\u0080-\u00bf][\x1a\u0080-\u00bf]" +
			"|[\u00f0-\u00f4][\x1a\u0080-\u00bf][\x1a?][\x1a\u0080-\u00bf]" +
			"|[\u00f0-\u00f4][\x1a\u0080-\u00bf][\x1a\u0080-\u00bf][\x1a?]" +
			"|\x1a")
)

// fixEncoding undoes mojibake until text no longer looks like it or nothing helps (ftfy's
// fix_encoding_and_explain).
func fixEncoding(text string) string {
	for range roundsMax {
		fixed := fixEncodingOnce(text)
		if fixed == text {
			break
		}
		text = fixed
	}
	return text
}

// fixEncodingOnce takes one step: back to UTF-8 through the first encoding that allows it, else
// only in the stretches that look like UTF-8, else C1 control characters.
func fixEncodingOnce(text string) string {
	if isASCII(text) || !isBad(text) {
		return text
	}

	// Encode as what it was mistaken for, decode as what it was.
	for _, p := range codepages {
		if fixed, ok := p.redecode(text); ok {
			return fixed
		}
	}
	if fixed := fixStretches(text); fixed != text {
		return fixed
	}
	return decodeC1(text)
}

// redecode encodes text in p and decodes the bytes as UTF-8, after mending bytes that were lost on
// the way. It is not ok if either step fails.
func (p *codepage) redecode(text string) (string, bool) {
	bytes, ok := p.bytes(text)
	if !ok {
		return "", false
	}
	wide := widen(bytes)
	if !p.roman && alteredUTF8.MatchString(wide) {
		wide = restoreA0(wide)
	}
	if p.sloppy {
		wide = lossyUTF8.ReplaceAllLiteralString(wide, "\u00ef\u00bf\u00bd")
	}
	return decodeUTF8(narrow(wide))
}

// widen writes every byte as the character of the same number, so that patterns of bytes can be
// regular expressions; narrow goes back.
func widen(bytes string) string {
	var out strings.Builder
	for i := range len(bytes) {
		out.WriteRune(rune(bytes[i]))
	}
	return out.String()
}

// narrow writes every character of up to U+00FF as the byte of the same number.
func narrow(wide string) string {
	out := make([]byte, 0, len(wide))
	for _, char := range wide {
		out = append(out, byte(char))
	}
	return string(out)
}

// restoreA0 turns the spaces in altered UTF-8 back into byte A0, the no-break space. A lone "Ã "
// was most likely "à ", so it keeps its space, unless it begins one of a few Portuguese words.
func restoreA0(wide string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(wide, "\u00c3 ")
		out.WriteString(before)
		if !found {
			break
		}

		// "Ãquele" was "Àquele": here the space is the second byte and no separator.
		if hasAnyPrefix(after, " ", "quele", "quela", "quilo", "s ") {
			out.WriteString("\u00c3 ")
		} else {
			out.WriteString("\u00c3\u00a0 ")
		}
		wide = after
	}

	return alteredUTF8.ReplaceAllStringFunc(out.String(), func(altered string) string {
		return strings.ReplaceAll(altered, " ", "\u00a0")
	})
}

// hasAnyPrefix reports whether text begins with any of prefixes.
func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// fixStretches undoes mojibake in the stretches of text that look like UTF-8 and like nothing else:
// text may be put together from sources with different mistakes (ftfy's decode_inconsistent_utf8).
func fixStretches(text string) string {
	chars := []rune(text)
	var out strings.Builder
	for at := 0; at < len(chars); {
		end := at
		if at == 0 || !strictOnes[chars[at-1]] {
			end = stretchEnd(chars, at)
		}

		if end == at {
			out.WriteRune(chars[at])
			at++
			continue
		}

		// A stretch that is all of the text has been tried as a whole already.
		part := string(chars[at:end])
		if end-at < len(chars) && isBad(part) {
			part = fixEncoding(part)
		}
		out.WriteString(part)
		at = end
	}
	return out.String()
}

// stretchEnd returns where the UTF-8 sequences that begin at at end.
func stretchEnd(chars []rune, at int) int {
	for at < len(chars) {
		rest := chars[at+1:]
		switch lead := chars[at]; {
		case leads2[lead] && continuations.all(rest, 1):
			at += 2
		case leads3[lead] && continuations.all(rest, 2):
			at += 3
		case leads4[lead] && continuations.all(rest, 3):
			at += 4
		default:
			return at
		}
	}
	return at
}

// isASCII reports whether text has no other characters, which no mistaken encoding changes.
func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
