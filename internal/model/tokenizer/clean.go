package tokenizer

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/model/tokenizer/ftfy"
)

// Clean prepares a prompt as diffusers' WanPipeline does (its function prompt_clean): it repairs
// broken text, decodes HTML references twice, makes every run of white space one space, and strips
// the ends. White space is what Python takes for it. Prompts have to go through it before Encode,
// as the model has only seen such.
func Clean(raw string) string {
	// Twice, since "&amp;lt;" is what a page has for "<" when it is escaped twice.
	text := ftfy.Unescape(ftfy.Unescape(ftfy.Fix(raw)))
	return strings.Join(strings.FieldsFunc(text, isPythonSpace), " ")
}

// LowerCase lowers words that are written in ASCII, for models that only know such, like the demo.
// A word with any other letter stays as it is.
func LowerCase(text string) string {
	out := []byte(text)
	for at := 0; at < len(out); {
		// A word is a run of letters, marks and digits.
		word, ascii := at, true
		for at < len(out) {
			r, size := utf8.DecodeRune(out[at:])
			if !unicode.In(r, unicode.L, unicode.M, unicode.N) {
				break
			}
			ascii = ascii && r <= unicode.MaxASCII
			at += size
		}

		if ascii {
			copy(out[word:at], bytes.ToLower(out[word:at]))
		}

		_, size := utf8.DecodeRune(out[at:]) // what ends the word
		at += size
	}
	return string(out)
}

// isPythonSpace is Python's str.isspace: Unicode's white space, and the separators U+001C to
// U+001F.
func isPythonSpace(char rune) bool {
	return char >= 0x1C && char <= 0x1F || unicode.IsSpace(char)
}
