package ftfy

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// segmentCharsMax is how many characters of a longer line are repaired at once, as in ftfy.
const segmentCharsMax = 1_000_000

// roundsMax bounds the repeated repair of one text. Real text settles within a handful of rounds.
const roundsMax = 1000

// Fix repairs text as ftfy.fix_text does (with fix_and_explain), line by line. From the first line
// on that holds a "<" it leaves HTML entities alone, as the text may be HTML. Bytes that are not
// UTF-8 become U+FFFD, except for surrogate pairs written as three bytes each, which become the
// character that they stand for.
func Fix(text string) string {
	text = joinSurrogates(text)
	var out strings.Builder
	html := true
	for text != "" {
		line := text[:segmentEnd(text)]
		text = text[len(line):]
		html = html && !strings.Contains(line, "<")
		out.WriteString(fixSegment(line, html))
	}
	return out.String()
}

// segmentEnd returns where the first segment of text ends: after its first line break, or earlier
// where that is more than segmentCharsMax characters away.
func segmentEnd(text string) int {
	end := strings.IndexByte(text, '\n') + 1
	if end == 0 {
		end = len(text)
	}

	if end <= segmentCharsMax {
		return end
	}

	chars := 0
	for at := range text[:end] {
		if chars == segmentCharsMax {
			return at
		}
		chars++
	}
	return end
}

// fixSegment applies every repair again and again until nothing changes: one repair may uncover
// what another one repairs.
func fixSegment(text string, html bool) string {
	for range roundsMax {
		before := text
		if html {
			text = unescapeStrict(text)
		}
		text = compose(fixChars(fixEncoding(text)))
		if text == before {
			break
		}
	}
	return text
}

// joinSurrogates makes text valid UTF-8, and characters of surrogate pairs.
func joinSurrogates(text string) string {
	if utf8.ValidString(text) {
		return text
	}

	var out strings.Builder
	for at := 0; at < len(text); {
		// CESU-8 has a pair of surrogates, of three bytes each, for one character.
		if char, ok := surrogatePair(text[at:]); ok {
			out.WriteRune(char)
			at += cesuSize
			continue
		}
		char, size := utf8.DecodeRuneInString(text[at:])
		out.WriteRune(char)
		at += size
	}
	return out.String()
}

// compose brings text to NFC. Package norm splits runs of more than 30 combining marks by a U+034F
// that is not in the text, so such text is composed step by step.
func compose(text string) string {
	if norm.NFC.QuickSpanString(text) == len(text) {
		return text
	}
	if crowded(text) {
		return composeCrowded(text)
	}
	return norm.NFC.String(text)
}
