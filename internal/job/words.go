package job

import (
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the words that a model was trained on.
const (
	WordsLimit = 4096
	WordLimit  = 64 // bytes
)

const wordsShown = 8 // in a notice

// strangeWords is a notice of the words in the clip's prompts that the model does not know; "": it
// knows them all, or does not say which it knows.
func (m Model) strangeWords(s Spec) string {
	if len(m.Words) == 0 {
		return ""
	}
	texts := []string{s.Prompt, s.NegativePrompt}
	for _, c := range s.Scenes {
		texts = append(texts, c.Prompt)
	}

	seen := make(map[string]bool, len(m.Words))
	for _, w := range m.Words {
		seen[w] = true
	}
	var strange []string
	n := 0
	for _, text := range texts {
		for w := range strings.FieldsFuncSeq(html.UnescapeString(text), betweenWords) {
			if w = strings.Trim(w, "'’"); m.LowerCase {
				w = strings.ToLower(w)
			}
			if w == "" || seen[w] {
				continue
			}
			seen[w] = true
			if n++; n <= wordsShown {
				strange = append(strange, fmt.Sprintf("%q", cutWord(w)))
			}
		}
	}
	if n == 0 {
		return ""
	}
	if n > wordsShown {
		strange = append(strange, fmt.Sprintf("%d more", n-wordsShown))
	}
	notice := fmt.Sprintf("model %s was not trained on these words, so what it makes of them is "+
		"chance: %s; it knows: %.400s", m.Name, strings.Join(strange, ", "), strings.Join(m.Words, " "))
	return strings.ToValidUTF8(notice[:min(len(notice), NoteLimit)], "")
}

// betweenWords reports whether a character is of no word.
func betweenWords(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.M, unicode.N) && r != '\'' && r != '’'
}

// cutWord shortens a word for a notice.
func cutWord(w string) string {
	const most = 40
	for i := range w {
		if i > most {
			return w[:i] + "…"
		}
	}
	return w
}

// checkWords bounds the list of words, which every notice may quote.
func (m Model) checkWords() error {
	for _, w := range m.Words {
		if w == "" || len(w) > WordLimit || !utf8.ValidString(w) || len(m.Words) > WordsLimit {
			return fmt.Errorf("model %q has %d words, such as %.64q; allowed: %d of 1 to %d bytes of UTF-8",
				m.Name, len(m.Words), w, WordsLimit, WordLimit)
		}
	}
	return nil
}
