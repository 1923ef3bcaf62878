package tokenizer

import (
	"strings"
	"unicode"

	"github.com/longtake/longtake/internal/model/tokenizer/fixtext"
)

// Clean prepares a prompt as diffusers' WanPipeline does (its function prompt_clean): repairs
// broken text, decodes HTML references twice, makes every run of white space one space, and strips
// the ends. White space is what Python takes for it.
func Clean(raw string) string {
	text := fixtext.Unescape(fixtext.Unescape(fixtext.Fix(raw)))
	return strings.Join(strings.FieldsFunc(text, isPythonSpace), " ")
}

// isPythonSpace is str.isspace of Python: Unicode's white space and the separators U+001C-001F.
func isPythonSpace(char rune) bool {
	return char >= 0x1C && char <= 0x1F || unicode.IsSpace(char)
}
