package tokenizer

import (
	"strings"
	"unicode"
)

// preTokenizer splits a span into the words that the model sees one at a time.
type preTokenizer interface {
	split(span) []span
}

// splitAll runs the pre-tokenizers in order over s. Words that become empty are dropped by the
// model.
func splitAll(steps []preTokenizer, s span) []span {
	// Each step splits every word that the step before has made.
	words := []span{s}
	for _, step := range steps {
		var next []span
		for _, w := range words {
			next = append(next, step.split(w)...)
		}
		words = next
	}
	return words
}

// whitespaceSplit splits at white space and drops it. Unicode's White_Space decides, as in Rust's
// char::is_whitespace, which the reference uses.
type whitespaceSplit struct{}

// split implements preTokenizer.
func (whitespaceSplit) split(s span) []span {
	var words []span
	start := 0
	for at, char := range s.text {
		if !unicode.IsSpace(char) {
			continue
		}

		if at > start {
			words = append(words, s.slice(start, at))
		}
		start = at + len(string(char))
	}

	if start < len(s.text) {
		words = append(words, s.slice(start, len(s.text)))
	}
	return words
}

// metaspace writes spaces as a mark, so that pieces can contain word boundaries, and puts the mark
// in front of the first word.
type metaspace struct {
	mark   string // one character, "▁" in T5 and UMT5
	scheme string // "always", "first" (only where the text begins), "never"
	cut    bool   // whether to split before every mark
}

// split implements preTokenizer.
func (m metaspace) split(s span) []span {
	// Spaces first, then the mark in front, unless the text begins with a space already.
	text := strings.ReplaceAll(s.text, " ", m.mark)

	wanted := m.scheme == "always" || m.scheme == "first" && s.head > 0
	if wanted && text != "" && !strings.HasPrefix(text, m.mark) {
		text = m.mark + text
	}

	if !m.cut {
		return []span{{text: text}}
	}

	var words []span
	for text != "" {
		// A word reaches to the next mark, or to the end.
		end := len(text)
		if i := strings.Index(text[1:], m.mark); i >= 0 {
			end = i + 1
		}
		words = append(words, span{text: text[:end]})
		text = text[end:]
	}
	return words
}
