package tokenizer

import (
	"strings"
	"unicode"
)

// preTokenizer splits a span into the words that the model sees one at a time.
type preTokenizer interface {
	split(span) []span
}

// splitAll runs the pre-tokenizers in order over s; empty words vanish.
func splitAll(steps []preTokenizer, s span) []span {
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

// whitespaceSplit splits at white space and drops it.
type whitespaceSplit struct{}

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

// metaspace writes spaces as mark, puts mark in front as its scheme says, and, where cut is set,
// splits before every mark.
type metaspace struct {
	mark   string
	scheme string // "always", "first" or "never"
	cut    bool
}

func (m metaspace) split(s span) []span {
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
		end := len(text)
		if i := strings.Index(text[1:], m.mark); i >= 0 {
			end = i + 1
		}
		words = append(words, span{text: text[:end]})
		text = text[end:]
	}
	return words
}
