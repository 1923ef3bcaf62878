package tokenizer

import "unicode/utf8"

// span is a part of the text on its way through the stages. head is how many bytes at its front
// stem from the very first character of the prompt, which is all that Metaspace's scheme "first"
// asks of Hugging Face's alignments: these never go backwards, so such bytes are a prefix.
type span struct {
	text string // UTF-8
	head int    // bytes that stem from the first character
	cut  bool   // whether a chain of normalizers has cut off text
}

// newSpan returns the whole prompt as a span.
func newSpan(text string) span {
	// Of an empty prompt no byte stems from a first character.
	_, size := utf8.DecodeRuneInString(text)
	return span{text: text, head: size}
}

// slice returns the part of s from byte lo to byte hi.
func (s span) slice(lo, hi int) span {
	return span{text: s.text[lo:hi], head: min(max(s.head-lo, 0), hi-lo)}
}

// edit is one character of a rewritten text. change is 0 where it stands for one character of the
// old text, 1 where it was added, and -n where n characters of the old text after it were removed.
type edit struct {
	char   rune
	change int
}

// rewrite applies edits as NormalizedString::transform of Hugging Face's tokenizers does.
func (s span) rewrite(edits []edit) span {
	// head grows only as long as everything written so far stems from the first character.
	out := make([]byte, 0, len(s.text)+utf8.UTFMax)
	head, at := 0, 0
	for _, e := range edits {
		// An added character belongs to the one before it.
		from := at
		if e.change > 0 {
			from--
		}

		aligned := from < s.head && head == len(out)
		out = utf8.AppendRune(out, e.char)
		if aligned {
			head = len(out)
		}

		// Pass over the character that it stands for, and those removed.
		for n := e.change; n <= 0; n++ {
			_, size := utf8.DecodeRuneInString(s.text[at:])
			at += size
		}
	}
	return span{text: string(out), head: head}
}
