package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
)

// value is what a field of a request has: the text of a form's field, or a JSON value. Both come to
// the same request.set, so that a field means the same in JSON and in a form.
type value struct {
	// The JSON without space around it; nil if the value is of a form.
	raw json.RawMessage
	// The text of a form's field, of a JSON text without its escapes, or any other JSON as it stands.
	text string
}

// jsonValue takes what a JSON object has under a name; the error is of a text with a broken escape.
func jsonValue(raw json.RawMessage) (value, error) {
	v := value{raw: bytes.TrimSpace(raw), text: string(raw)}
	if v.isText() {
		return v, json.Unmarshal(raw, &v.text)
	}
	return v, nil
}

// isText reports whether v is a text: JSON has other kinds, a form has none.
func (v value) isText() bool { return v.raw == nil || v.raw[0] == '"' }

// isNumber reports whether v can be a number: one of JSON, or a text, as forms have them. Whether
// it is one is for the field's parser to say.
func (v value) isNumber() bool {
	return v.isText() || strings.IndexByte("-0123456789", v.raw[0]) >= 0
}

// absent reports whether v stands for nothing: JSON's null, or a form's field that was left empty.
func (v value) absent() bool {
	return v.raw == nil && strings.TrimSpace(v.text) == "" || string(v.raw) == "null"
}

// offTexts are how forms say that something is off, which JSON has other values for.
var offTexts = []string{"", "false", "0", "0.0", "none", "null", "off", "no", "default", "[]", "{}"}

// off reports whether v asks for nothing: null, false, 0, or an empty text, list or object. It is
// for features that longtake lacks: SDKs and web pages send such defaults for all fields that they
// know.
func (v value) off() bool {
	return slices.Contains(offTexts, strings.ToLower(strings.Join(strings.Fields(v.text), "")))
}

// object returns the members of v, an object, in the order in which they stand. In a form they are
// a text, as curl -F extra_body='{...}' sends it.
func (v value) object(name string) ([]member, error) {
	text := v.raw
	if v.isText() {
		text = []byte(v.text)
	}
	list, err := members(text)
	if err != nil {
		return nil, v.wrong(name, "an object of fields, such as {\"seed\": 7}")
	}
	return list, nil
}

// wrong says that v is not what a field takes. At most 64 characters of the value are shown, so
// that a picture in base64 does not come back in an error.
func (v value) wrong(name, allowed string) error {
	shown := fmt.Sprintf("%.64q", v.text)
	if !v.isText() {
		shown = fmt.Sprintf("%.64s", bytes.ReplaceAll(v.raw, []byte("\n"), []byte(" ")))
	}
	return &job.FieldError{Field: name, Value: shown, Allowed: allowed}
}

// onlyElement returns what is in v if that is a list of one, as some servers take seeds, or else v.
func (v value) onlyElement() value {
	list := strings.TrimSpace(v.text)
	if len(list) < 3 || list[0] != '[' || list[len(list)-1] != ']' || strings.Contains(list, ",") {
		return v
	}
	inner := strings.TrimSpace(list[1 : len(list)-1])
	if inner == "" {
		return v
	}
	return value{raw: json.RawMessage(inner), text: inner}
}

// member is a name of a JSON object with its value.
type member struct {
	name string
	raw  json.RawMessage
}

// members reads a JSON object in which no name stands twice, nor in any object within: two readers
// of such an object may not agree on what it says. A filter in front and this server could take
// different ones. The order is that of the text.
func members(text []byte) ([]member, error) {
	if err := plainJSON(text); err != nil {
		return nil, err
	}

	d := json.NewDecoder(bytes.NewReader(text))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("it is no object")
	}

	seen := map[string]bool{}
	var out []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: t.(string)} //nolint:forcetypeassert // a name, or Token has failed
		if seen[m.name] {
			return nil, invalid(m.name, "%.64q stands twice in the JSON object; allowed: once", m.name)
		}
		seen[m.name] = true
		if err := d.Decode(&m.raw); err != nil {
			return nil, err
		}
		if err := once(m.raw); err != nil {
			return nil, err
		}
		out = append(out, m)
	}

	// The object's end, and nothing behind it.
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return out, nil
}

// plainJSON refuses, by their names, encodings that JSON does not come in: the decoder would only
// say that a character is wrong.
func plainJSON(text []byte) error {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New("it is empty")
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return errors.New("it begins with a byte order mark; allowed: UTF-8 without one")
	case bytes.HasPrefix(text, []byte("\x1f\x8b")):
		return errors.New("it is compressed with gzip; allowed: plain UTF-8")
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		return errors.New("it is not in UTF-8; allowed: UTF-8")
	}
	return nil
}

// once wants the names of every object within a JSON value, which is well-formed, once each. It
// goes through the tokens instead of recursing, so nesting costs no stack; encoding/json itself
// allows 10 000 levels.
func once(raw json.RawMessage) error {
	if len(raw) == 0 || raw[0] != '{' && raw[0] != '[' {
		return nil
	}
	type level struct {
		names map[string]bool // nil: a list
		value bool            // the next token is the value of a name
	}

	// The objects and lists around the next token, the innermost last.
	var open []level
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if d, ok := t.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
			continue
		}

		// Within an object, names and values take turns.
		if n := len(open); n > 0 && open[n-1].names != nil {
			in := &open[n-1]
			if !in.value {
				name := t.(string) //nolint:forcetypeassert // objects have such names
				if in.names[name] {
					return invalid("", "%.64q stands twice in a JSON object; allowed: once", name)
				}
				in.names[name], in.value = true, true
				continue
			}
			in.value = false
		}

		// What is left is a value: an object or a list opens a level, anything else is skipped.
		switch t {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}
