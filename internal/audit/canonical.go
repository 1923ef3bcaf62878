package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Canonical returns the one spelling of a JSON text that counts here: members sorted by name, no
// blanks, all characters escaped that are not printable ASCII, numbers that are whole and not below
// 0. That is what Python's json.dumps gives with sort_keys and the separators (",", ":"). An error
// says what has no canonical spelling.
func Canonical(text []byte) ([]byte, error) {
	v, err := parse(text)
	if err != nil {
		return nil, err
	}
	return write(nil, v)
}

// parse reads one JSON value. Its numbers stay as they are written, as they may be larger than
// those of Go. Of two members with one name the last one counts, and the text is not canonical.
func parse(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on behind its JSON")
	}
	return v, nil
}

// write appends the canonical spelling of a value that parse returned.
func write(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return fmt.Append(b, v), nil
	case string:
		return quote(b, v), nil
	case json.Number:
		return number(b, string(v))
	case []any:
		return writeList(b, v)
	case map[string]any:
		return writeObject(b, v)
	}
	return nil, fmt.Errorf("a %T has no canonical form", v)
}

// writeList appends an array.
func writeList(b []byte, list []any) (_ []byte, err error) {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = write(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// writeObject appends an object. Names are sorted by their characters, which is the order of their
// bytes in UTF-8, and that of Python.
func writeObject(b []byte, object map[string]any) (_ []byte, err error) {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(object)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, name), ':')
		if b, err = write(b, object[name]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// number appends a whole number from 0. Others have several spellings, and are not needed: entries
// have texts for all that may be large, negative or a fraction.
func number(b []byte, s string) ([]byte, error) {
	if strings.Trim(s, "0123456789") != "" || len(s) > 1 && s[0] == '0' {
		return nil, fmt.Errorf("%.32s is no canonical number; allowed: whole ones from 0", s)
	}
	return append(b, s...), nil
}

// quote appends a string, of which all that is not printable ASCII is escaped: characters that a
// terminal acts on are among that. What is no UTF-8 becomes U+FFFD, as encoding/json has it.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"', r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		default:
			b = append(b, escape(r)...)
		}
	}
	return append(b, '"')
}

// escape spells a character in ASCII: five have a letter, those from U+10000 on are two surrogates.
func escape(r rune) string {
	if i := strings.IndexRune("\b\t\n\f\r", r); i >= 0 {
		return `\` + "btnfr"[i:i+1]
	}
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
