package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printf prints as fmt.Fprintf does, but shows what is special to a terminal in the arguments as
// escapes: names, notices and errors come from servers and files, and could move the cursor, forge
// a line or hide text otherwise. All that the commands print goes through here or JSON.
func Printf(w io.Writer, format string, args ...any) {
	wrapped := make([]any, len(args))
	for i, a := range args {
		wrapped[i] = visible{a}
	}
	_, _ = fmt.Fprintf(w, format, wrapped...) // a terminal that is gone needs no error
}

// visible prints a value without control characters, for any verb.
type visible struct{ value any }

// Format implements fmt.Formatter.
func (v visible) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, Escape(fmt.Sprintf(fmt.FormatString(f, verb), v.value)))
}

// Escape returns s with every rune that does not stay in its place as an escape, as JSON has them:
// controls, line ends, marks that turn the direction of text, and other invisible ones but the
// joiners, which emoji and some scripts need. A byte that is no UTF-8 is shown as \xNN.
func Escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(r)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !Special(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Special reports whether a rune does more than to be seen where it stands.
func Special(r rune) bool {
	const joiner, nonJoiner = '\u200d', '\u200c'
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) &&
		r != joiner && r != nonJoiner
}

// Plain makes lines of text or JSON plain that others print: logs, tables.
type Plain struct{ W io.Writer }

// Write implements io.Writer.
func (p Plain) Write(b []byte) (int, error) {
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		lines[i] = Escape(l)
	}
	if _, err := io.WriteString(p.W, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// JSON prints a line of JSON. Only within its texts are there special characters, where an
// escape means the same.
func JSON(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	_, err := Plain{w}.Write(b.Bytes())
	return err
}

// Lines prints each of list as JSON, one a line.
func Lines[T any](w io.Writer, list []T) error {
	for _, v := range list {
		if err := JSON(w, v); err != nil {
			return err
		}
	}
	return nil
}

// Table prints aligned columns.
func Table(w io.Writer, head string, rows func(io.Writer)) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = io.WriteString(t, head+"\n")
	rows(t)
	return t.Flush()
}
