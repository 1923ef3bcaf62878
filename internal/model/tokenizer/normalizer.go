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

// chain runs normalizers in order; an empty chain changes nothing.
type chain []normalizer

func (c chain) normalize(s span) span { return c.within(s, textBytesMax) }

// within cuts the text after any stage that makes more than limit bytes of it.
func (c chain) within(s span, limit int) span {
	cut := false
	for _, n := range c {
		if s = n.normalize(s); len(s.text) > limit {
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

// normalize replaces by the table, one grapheme cluster at a time: a cluster of fewer than
// graphemeBytesMax bytes as a whole where the table knows it, else character by character.
func (m *charsmap) normalize(s span) span {
	var edits []edit
	modified := false
	for rest, state := s.text, -1; rest != "" && len(edits) <= textBytesMax; {
		var cluster string
		cluster, rest, state = nextCluster(rest, state)
		if len(cluster) < graphemeBytesMax {
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

// appendReplacement appends the edits that turn from into to: what to has more counts as added,
// what it has less is removed after its last character.
func appendReplacement(edits []edit, from, to string) []edit {
	for _, char := range to {
		edits = append(edits, edit{char, 0})
	}
	diff := utf8.RuneCountInString(to) - utf8.RuneCountInString(from)
	for i := 1; i <= diff; i++ {
		edits[len(edits)-i].change = 1
	}
	if diff < 0 && len(edits) > 0 {
		edits[len(edits)-1].change += diff
	}
	return edits
}

// strip removes white space (Unicode's property White_Space) from the ends.
type strip struct{ left, right bool }

func (n strip) normalize(s span) span {
	lo, hi := 0, len(s.text)
	if n.left {
		lo = hi - len(strings.TrimLeftFunc(s.text, unicode.IsSpace))
	}
	if n.right {
		hi = lo + len(strings.TrimRightFunc(s.text[lo:], unicode.IsSpace))
	}
	return s.slice(lo, hi)
}

// replace puts content in the place of every match of pattern, which never matches nothing. Where
// the pattern is a plain text, literal is that.
type replace struct {
	pattern *regexp.Regexp
	literal string
	content string
}

// matches calls use with the ends of each match, until it returns false.
func (n replace) matches(text string, use func(lo, hi int) bool) {
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

func (n replace) normalize(s span) span {
	var out strings.Builder
	head, last := 0, 0
	write := func(text string, aligned int) {
		if head == out.Len() {
			head += aligned
		}
		out.WriteString(text)
	}
	n.matches(s.text, func(lo, hi int) bool {
		before := s.slice(last, lo)
		write(before.text, before.head)
		aligned := 0
		if hi <= s.head {
			aligned = len(n.content)
		}
		write(n.content, aligned)
		last = hi
		return out.Len() <= textBytesMax // the rest would be cut off
	})
	rest := s.slice(last, len(s.text))
	write(rest.text, rest.head)
	return span{text: out.String(), head: head}
}
