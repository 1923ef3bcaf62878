package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// evil clears the screen, forges a line, turns text around, hides some, and is no UTF-8.
const evil = "a\x1b[2J\x1b]0;t\x07\r\nforged\tb\u009b31m\u202egnp\u2066\u200b\ufeff\u2028\x7f" +
	"\U000e0041"

// firstSpecial returns what is around the first character that does more than to be seen.
func firstSpecial(text string) string {
	if !utf8.ValidString(text) {
		return "bytes that are no UTF-8"
	}
	for i, r := range text {
		if Special(r) && r != '\n' {
			return fmt.Sprintf("%q", text[max(0, i-20):min(len(text), i+20)])
		}
	}
	return ""
}

func FuzzEscape(f *testing.F) {
	f.Add(evil)
	f.Add("\xff\xfe👩\u200d🚀")
	f.Fuzz(func(t *testing.T, s string) {
		p := Escape(s)
		if where := firstSpecial(p); where != "" || strings.Contains(p, "\n") {
			t.Errorf("%q became %q: %s", s, p, where)
		}
		if Escape(p) != p {
			t.Errorf("%q is not as plain as can be", p)
		}
		b, _ := json.Marshal(s)
		var back, want string
		if json.Unmarshal(b, &want) != nil || json.Unmarshal([]byte(Escape(string(b))), &back) != nil ||
			back != want {
			t.Errorf("JSON of %q says %q", s, back)
		}
		var out bytes.Buffer
		Printf(&out, "%-4s|%q|%5v", s, s, []string{s})
		if where := firstSpecial(out.String()); where != "" {
			t.Errorf("%q is printed as %q", s, out.String())
		}
		n, err := Plain{io.Discard}.Write([]byte(s))
		if n != len(s) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
