package tokenizer

import "unicode/utf8"

// span is a part of the text on its way through the stages. head counts the bytes at its front
// that stem from the very first character of the prompt (alignments never go backwards, so they
// are a prefix); Metaspace's scheme "first" asks for nothing else of the alignment.
type span struct {
	text string
	head int
	cut  bool // by a chain of normalizers, of more than it takes
}

// newSpan is the whole prompt.
func newSpan(text string) span {
	_, size := utf8.DecodeRuneInString(text)
	return span{text: text, head: size}
}

// slice is the part of s from byte lo to byte hi.
func (s span) slice(lo, hi int) span {
	return span{text: s.text[lo:hi], head: min(max(s.head-lo, 0), hi-lo)}
}

// edit is one character of a rewritten text: change is 0 where it stands for one character of the
// old text, 1 where it was added, -n where n characters of the old text after it were removed.
type edit struct {
	char   rune
	change int
}

// rewrite applies edits as NormalizedString::transform of Hugging Face's tokenizers does.
func (s span) rewrite(edits []edit) span {
	out := make([]byte, 0, len(s.text)+utf8.UTFMax)
	head, at := 0, 0
	for _, e := range edits {
		from := at
		if e.change > 0 {
			from--
		}
		aligned := from < s.head && head == len(out)
		out = utf8.AppendRune(out, e.char)
		if aligned {
			head = len(out)
		}
		for n := e.change; n <= 0; n++ {
			_, size := utf8.DecodeRuneInString(s.text[at:])
			at += size
		}
	}
	return span{text: string(out), head: head}
}
