package api

import (
	"encoding/json"
	"strings"
)

// noteUnseen tells of characters in a prompt that the model does not see as they were sent: halves
// of surrogate pairs, which JSON may have, and control characters, which cleaning drops. The clip
// is made all the same.
func (q *request) noteUnseen(name string, v value) {
	if half := halfPair(v.raw); half != "" {
		q.note("%s has half of a surrogate pair, %s, which became U+FFFD", name, half)
	}
	if i := strings.IndexFunc(v.text, hidden); i >= 0 {
		q.note("%s has control characters such as %U, which are left out", name, []rune(v.text[i:])[0])
	}
}

// hidden reports whether the text encoder's cleaning drops a character: see package ftfy.
func hidden(r rune) bool {
	return r < 0x09 || r == 0x0b || r >= 0x0e && r < 0x20 || r == 0x7f
}

// halfPair returns the first escape in a JSON text that is half of a surrogate pair, "" if there is
// none. The decoder has put U+FFFD in its place without a word. JSON allows any \uXXXX; a client
// that cuts a text in the middle of an emoji sends such halves.
func halfPair(raw json.RawMessage) string {
	s := string(raw)
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if first := surrogate(s[i:]); first != 0 {
			if first == 'h' && surrogate(s[i+6:]) == 'l' {
				i += 6
			} else {
				return s[i : i+6]
			}
		}
		i++ // what is escaped
	}
	return ""
}

// surrogate tells whether s begins with the escape of a surrogate: 'h', the higher half, or 'l'.
func surrogate(s string) byte {
	if len(s) < 6 || s[:2] != `\u` || s[2] != 'd' && s[2] != 'D' {
		return 0
	}
	switch c := s[3] | 0x20; { // in lower case
	case c == '8' || c == '9' || c == 'a' || c == 'b':
		return 'h'
	case c >= 'c' && c <= 'f':
		return 'l'
	}
	return 0
}
