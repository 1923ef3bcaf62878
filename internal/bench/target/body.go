package target

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"slices"
)

// body is what a request sends.
type body struct {
	kind  string // content type; "": nothing is sent
	bytes []byte
}

// Only what was asked for is sent: what is left out is the server's default, which is part of what
// it is. A default of ours would make all servers equal in a way that none of their users sees.

// fields are a request in the words of a dialect.
type fields map[string]any

// put adds fields that are not zero, given as names and values in turn.
func (f fields) put(pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case string:
			if v == "" {
				continue
			}
		case int:
			if v == 0 {
				continue
			}
		case *float64:
			if v == nil {
				continue
			}
			pairs[i+1] = *v
		}

		f[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
}

// size is WIDTHxHEIGHT, "" for the server's default.
func (r Request) size() string {
	if r.Width == 0 && r.Height == 0 {
		return ""
	}
	return fmt.Sprintf("%dx%d", r.Width, r.Height)
}

// json is the fields as JSON.
func (f fields) json() (body, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return body{}, fail(Rejected, "cannot write the request: %w", err)
	}
	return body{kind: "application/json", bytes: b}, nil
}

// form is the fields as a form: texts as they are, the rest as JSON has it.
func (f fields) form() (body, error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)

	for _, name := range slices.Sorted(maps.Keys(f)) {
		text, ok := f[name].(string)
		if !ok {
			raw, err := json.Marshal(f[name])
			if err != nil {
				return body{}, fail(Rejected, "cannot write the request: %w", err)
			}
			text = string(raw)
		}
		if err := form.WriteField(name, text); err != nil {
			return body{}, fail(Rejected, "cannot write the request: %w", err)
		}
	}

	if err := form.Close(); err != nil {
		return body{}, fail(Rejected, "cannot write the request: %w", err)
	}
	return body{kind: form.FormDataContentType(), bytes: b.Bytes()}, nil
}
