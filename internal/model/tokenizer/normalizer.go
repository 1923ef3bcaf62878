package tokenizer

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// normalizer is one step that rewrites text before it is split.
type normalizer interface {
	normalize(span) span
}

// chain runs normalizers in order, as a Sequence of the file does; an empty chain changes nothing.
type chain []normalizer

// normalize implements normalizer, for texts of up to textBytesMax.
func (c chain) normalize(s span) span { return c.within(s, textBytesMax) }

// within runs the chain, and cuts the text after any stage that makes more than limit bytes of it,
// at the beginning of a character. The result says so, since its tokens are then not those of the
// whole text.
func (c chain) within(s span, limit int) span {
	cut := false
	for _, n := range c {
		if s = n.normalize(s); len(s.text) > limit {
			// Not within a character.
			end := limit
			for !utf8.RuneStart(s.text[end]) {
				end--
			}
			s, cut = s.slice(0, end), true
		}
	}
	s.cut = cut
	return s
}

// normalize implements normalizer. It replaces by the table, one grapheme cluster at a time: a
// cluster of fewer than graphemeBytesMax bytes as a whole where the table has it, else character by
// character. Without any replacement the text is returned as it is, alignment included.
func (m *charsmap) normalize(s span) span {
	var edits []edit
	modified := false
	for rest, state := s.text, -1; rest != "" && len(edits) <= textBytesMax; {
		var cluster string
		cluster, rest, state = nextCluster(rest, state)

		if len(cluster) < graphemeBytesMax {
			// The whole cluster, such as a letter with its accents, has a replacement of its own.
			if to, ok := m.lookup(cluster); ok {
				edits, modified = appendReplacement(edits, cluster, to), true
				continue
			}
		}

		for _, char := range cluster {
			if to, ok := m.lookup(string(char)); ok {
				edits, modified = appendReplacement(edits, string(char), to), true
			} else {
				edits = append(edits, edit{char, 0})
			}
		}
	}

	if !modified {
		return s
	}
	return s.rewrite(edits)
}

// appendReplacement appends the edits that turn from into to. Characters that to has more count as
// added; those that it has less are removed after its last one.
func appendReplacement(edits []edit, from, to string) []edit {
	for _, char := range to {
		edits = append(edits, edit{char, 0})
	}
	diff := utf8.RuneCountInString(to) - utf8.RuneCountInString(from)

	// More characters than before: the last ones count as added.
	for i := 1; i <= diff; i++ {
		edits[len(edits)-i].change = 1
	}
	if diff < 0 && len(edits) > 0 {
		edits[len(edits)-1].change += diff
	}
	return edits
}

// strip removes white space, Unicode's property White_Space, from the ends.
type strip struct{ left, right bool }

// normalize implements normalizer.
func (n strip) normalize(s span) span {
	// Slicing keeps the alignment, which trimming the string alone would lose.
	lo, hi := 0, len(s.text)
	if n.left {
		lo = hi - len(strings.TrimLeftFunc(s.text, unicode.IsSpace))
	}
	if n.right {
		hi = lo + len(strings.TrimRightFunc(s.text[lo:], unicode.IsSpace))
	}
	return s.slice(lo, hi)
}

// replace puts content in the place of every match of a pattern that never matches empty text.
type replace struct {
	pattern *regexp.Regexp // set in either case
	literal string         // the pattern, where it is plain text; else ""
	content string         // what replaces a match
}

// matches calls use with the ends of each match, in order and without overlaps, until it returns
// false.
func (n replace) matches(text string, use func(lo, hi int) bool) {
	// Plain text needs no regular expression.
	if n.literal == "" {
		for _, m := range n.pattern.FindAllStringIndex(text, -1) {
			if !use(m[0], m[1]) {
				return
			}
		}
		return
	}

	for at := 0; ; {
		i := strings.Index(text[at:], n.literal)
		if i < 0 || !use(at+i, at+i+len(n.literal)) {
			return
		}
		at += i + len(n.literal)
	}
}

// normalize implements normalizer.
func (n replace) normalize(s span) span {
	var out strings.Builder
	head, last := 0, 0

	// Text written counts for the head, as long as all text before it did.
	write := func(text string, aligned int) {
		if head == out.Len() {
			head += aligned
		}
		out.WriteString(text)
	}

	n.matches(s.text, func(lo, hi int) bool {
		before := s.slice(last, lo)
		write(before.text, before.head)

		// A replacement stems from the first character if all that it replaces does.
		aligned := 0
		if hi <= s.head {
			aligned = len(n.content)
		}
		write(n.content, aligned)

		last = hi
		return out.Len() <= textBytesMax // the rest would be cut off
	})

	// What follows the last match.
	rest := s.slice(last, len(s.text))
	write(rest.text, rest.head)
	return span{text: out.String(), head: head}
}
