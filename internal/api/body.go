package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/api/source"
)

// Limits of a body. They hold as it is read, whatever Content-Length says, and for chunked bodies.
const (
	// Bytes of a request, without what it starts from: a prompt, or a storyboard of many scenes, has
	// some KB.
	bodyMax = 1 << 20
	// Bytes of what a clip starts from, where it is a text: a picture of 12 MB in base64. A file in a
	// form may have source.Max, as it goes to disk.
	inlineMax = 16 << 20
	// Parts of a form, and headers of one part: far more than there are fields.
	partsMax   = 256
	headersMax = 16
	// Bytes of JSON, whose reference is in memory with the rest.
	jsonMax = inlineMax + bodyMax
)

// readRequest reads the body of a request, JSON or a form. The second result is what the clip is
// made from besides words: it is received, but not looked at before it is opened, and the caller
// drops it. Errors are answers: 400, 413 or 415. OpenAI's SDKs send one or the other, by their
// language and by whether there is a file.
func (s *server) readRequest(w http.ResponseWriter, r *http.Request) (*request, inputs, error) {
	q := &request{}
	in, err := s.readInto(q, w, r)
	return q, in, err
}

// readInto is readRequest for a request of a route that has fields of its own.
func (s *server) readInto(q *request, w http.ResponseWriter, r *http.Request) (inputs, error) {
	h := r.Header
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, unsupported("Content-Encoding is %.64q; allowed: none", e)
	}

	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	place := &place{s: s}
	switch {
	case err == nil && kind == "multipart/form-data" && params["boundary"] != "":
		r.Body = http.MaxBytesReader(w, r.Body, source.Max+bodyMax)
		err = q.readForm(r, place)
	case err == nil && kind == "application/json":
		if c := params["charset"]; c != "" && !slices.Contains(utf8Names, strings.ToLower(c)) {
			return nil, unsupported("charset is %.64q; allowed: utf-8", c)
		}
		r.Body = http.MaxBytesReader(w, r.Body, jsonMax)
		err = q.readJSON(r.Body, place)
	default:
		return nil, unsupported("Content-Type is %.64q; allowed: application/json (with "+
			"curl: -H 'Content-Type: application/json'), or multipart/form-data with a boundary",
			h.Get("Content-Type"))
	}

	// Without any inputs, or after an error, nothing that was received stays.
	var in inputs
	if err == nil {
		in, err = q.inputs(place)
	}
	if in == nil {
		q.dropFiles()
		place.leave()
	}
	s.rename(&q.Request)
	return in, tooLarge(err)
}

// utf8Names are charsets that JSON in UTF-8 may be said to be in. ASCII is a part of UTF-8, so what
// is said to be ASCII can be read as UTF-8.
var utf8Names = []string{"utf-8", "utf8", "us-ascii", "ascii"}

// unsupported is the answer to a body of a kind that is not read here.
func unsupported(format string, args ...any) error {
	return &schema.Error{Status: http.StatusUnsupportedMediaType, Type: "invalid_request_error",
		Message: fmt.Sprintf(format, args...)}
}

// tooLarge turns a *http.MaxBytesError into an answer. Handlers pass every error of reading through
// it; others come back as they are.
func tooLarge(err error) error {
	var large *http.MaxBytesError
	if !errors.As(err, &large) {
		return err
	}
	return &schema.Error{Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error",
		Message: fmt.Sprintf("the body is too large; allowed: %d bytes", large.Limit)}
}

// place is one of the few that a server has for what clips start from, on disk or in memory. A
// request takes it when it turns out to need it. There are inputsMax. One goroutine has it, that of
// the request.
type place struct {
	s     *server
	taken bool
}

// take takes the place, once for a request; the error is the answer that there is none. It does not
// wait: a client that is answered 503 comes back, one that waits holds its connection and its
// bytes.
func (p *place) take() error {
	if p.taken {
		return nil
	}
	select {
	case p.s.inputs <- struct{}{}:
		p.taken = true
		return nil
	default:
		return overloaded("too many inputs at once; try again")
	}
}

// leave gives the place back; without one, it does nothing.
func (p *place) leave() {
	if p.taken {
		<-p.s.inputs
		p.taken = false
	}
}

// readForm takes the fields of a form, in the order in which they come, and a file. Order matters
// only for errors: of two fields that contradict each other, the later is refused.
func (q *request) readForm(r *http.Request, p *place) error {
	m, err := r.MultipartReader()
	if err != nil {
		return invalid("", "cannot read the form: %v", err)
	}

	left := int64(bodyMax) // bytes of values
	for n := 0; ; n++ {
		part, err := m.NextPart()
		if errors.Is(err, io.EOF) {
			// What follows the form is read, so that the connection tells whether the client
			// leaves.
			_, err := io.Copy(io.Discard, r.Body)
			return err
		}
		if err != nil {
			return bodyError("the form", err)
		}

		if err := checkPart(n, part); err != nil {
			return err
		}

		// A reference goes to disk whatever its size; everything else is counted against left.
		name := strings.TrimSuffix(part.FormName(), "[]")
		if isReference(name) {
			err = q.receive(name, part, p)
		} else {
			err = q.readPart(name, part, &left)
		}
		if err != nil {
			return err
		}
	}
}

// checkPart bounds the parts of a form, of which n come before this one, and their headers.
func checkPart(n int, part *multipart.Part) error {
	if n < partsMax && len(part.Header) <= headersMax {
		return nil
	}
	return invalid("", "the form has more than %d fields, or %d headers of one; allowed: fewer",
		partsMax, headersMax)
}

// readPart takes a value of a form. left is what the form's values may still have together, in
// bytes.
func (q *request) readPart(name string, part *multipart.Part, left *int64) error {
	if part.FileName() != "" {
		return invalid(name, "%.64q is a file; allowed for files: %s", name,
			strings.Join(fileNames, ", "))
	}
	text, err := io.ReadAll(io.LimitReader(part, *left+1))
	if err != nil {
		return bodyError("the form", err)
	}
	if *left -= int64(len(text)); *left < 0 {
		return &http.MaxBytesError{Limit: bodyMax}
	}
	return q.set(name, value{text: string(text)})
}

// readJSON takes the fields of a JSON object. A large one has a picture in it, for which it takes a
// place: eight such bodies are in memory at most.
func (q *request) readJSON(body io.Reader, p *place) error {
	text, err := io.ReadAll(io.LimitReader(body, bodyMax+1))
	if err == nil && len(text) > bodyMax {
		if err := p.take(); err != nil {
			return err
		}
		b := bytes.NewBuffer(text)
		_, err = b.ReadFrom(body)
		text = b.Bytes()
	}
	if err != nil {
		return bodyError("the JSON object", err)
	}

	list, err := members(text)
	if err != nil {
		return bodyError("the JSON object", err)
	}

	// Without what the clip starts from, the limit is that of any other body.
	rest := len(text)

	for _, m := range list {
		if isReference(m.name) {
			rest -= len(m.raw)
		}
	}
	if rest > bodyMax {
		return &http.MaxBytesError{Limit: bodyMax}
	}
	for _, m := range list {
		v, err := jsonValue(m.raw)
		if err != nil {
			return bodyError(m.name, err)
		}
		if err := q.set(m.name, v); err != nil {
			return err
		}
	}
	return nil
}

// bodyError keeps an error that is an answer already, and blames the client for any other: what
// cannot be read is not what was asked for.
func bodyError(what string, err error) error {
	var large *http.MaxBytesError
	var known *schema.Error
	if errors.As(err, &large) || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends in the middle")
	}
	return invalid("", "cannot read %s: %v", what, err)
}
