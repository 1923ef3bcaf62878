package api

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/api/source"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// reference is a file that a clip is made from, as a request brings it: a file of a form, or a text
// that is a data URL, a URL, base64, or JSON of those.
type reference struct {
	field job.Field
	// What the request called its field, for errors.
	name string
	// A temporary file with the bytes of a form's part, whose offset stands anywhere; nil for a text.
	file *os.File
	// A data URL, an http(s) URL or base64, of up to inlineMax bytes, or of a video the id of a job;
	// "" if there is a file.
	text string
}

// referenceAllowed says what a reference may be where it is a text.
const referenceAllowed = "a file of a form, a data URL (data:image/png;base64,...), or " +
	`{"image_url": one}`

// drop removes the file of a reference; of nothing, it does nothing.
func (r *reference) drop() {
	if r != nil && r.file != nil {
		r.file.Close()
		os.Remove(r.file.Name())
	}
}

// setReference takes a text, or an object of one. It is the setter of the field in JSON, and of a
// form's part that turned out to be a text.
func setReference(q *request, name string, v value) error {
	field, _ := job.LookupField(name)
	var list []json.RawMessage
	if field.FilesMax() > 1 && json.Unmarshal([]byte(v.text), &list) == nil {
		for _, raw := range list {
			inner, err := jsonValue(raw)
			if err == nil {
				err = setOne(q, name, inner)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return setOne(q, name, v)
}

// setOne takes one text, or an object of one.
func setOne(q *request, name string, v value) error {
	text, err := referenceText(name, v, 0)
	if err != nil || text == "" {
		return err
	}
	return q.refer(&reference{name: name, text: text})
}

// made returns the id of the job whose clip a reference is; ok is false if it is something else.
func (r *reference) made() (id job.ID, ok bool) {
	video := r.field.Role == job.RoleVideo || r.field.Role == job.RoleMask
	return job.ID(r.text), video && r.file == nil && job.CheckID(job.ID(r.text)) == nil
}

// refer takes a reference, and drops one that is more than its field takes. input_reference and its
// aliases count as one.
func (q *request) refer(r *reference) error {
	r.field, _ = job.LookupField(r.name)
	n, first := 0, ""
	for _, other := range q.refs {
		if other.field.Name == r.field.Name {
			n, first = n+1, cmp.Or(first, other.name)
		}
	}

	if most := r.field.FilesMax(); n >= most {
		r.drop()
		if most == 1 {
			return invalid(r.name, "%s and %s are given; allowed: one of them, once", first, r.name)
		}
		return invalid(r.name, "%s is given more than %d times; allowed: up to %d", r.name, most, most)
	}
	q.refs = append(q.refs, r)
	return nil
}

// dropFiles removes the files of all references.
func (q *request) dropFiles() {
	for _, r := range q.refs {
		r.drop()
	}
}

// setPart takes what a form calls base[key], a member of an object: PHP's way, which OpenAI's SDKs
// have, too.
func (q *request) setPart(base, key string, v value) error {
	whole := base + key
	inner, rest, _ := strings.Cut(strings.TrimPrefix(key, "["), "]")

	// A member of a holder is a field; one of a feature that is idle or off is judged as the whole.
	switch h, holds := holders[base]; {
	case holds && h.lenient && !isField(inner):
		q.noteLeft(base, inner)
		return nil
	case holds && inner != "":
		return q.set(inner+rest, v)
	case slices.Contains(idle, base):
		return nil
	case unable[base] != "":
		return refuseUnlessOff(unable[base])(q, whole, v)
	case q.own != nil && !isReference(base):
		return nil
	case !isReference(base):
		return unknown(whole)
	}

	switch key {
	case "[image_url]", "[image_url][url]", "[url]", "[video_url]", "[id]":
		return q.set(base, v)
	// OpenAI's hints for vision models: the picture is taken whole here.
	case "[type]", "[detail]", "[image_url][detail]":
		return nil
	case "[file_id]":
		return noFiles(whole)
	}
	return unknown(whole)
}

// referenceText finds the text in a reference, which may be wrapped in a list of one and in objects
// with image_url or url, as servers differ. depth counts the objects around v. Two levels are what
// OpenAI's chat messages have: {"image_url": {"url": ...}}.
func referenceText(name string, v value, depth int) (string, error) {
	text := strings.TrimSpace(v.text)
	if v.isText() && !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return text, nil
	}
	// Some servers take lists of pictures; one picture in a list means the same.
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) == nil && len(list) == 1 {
		text = string(list[0])
	}
	parts, err := members([]byte(text))
	if err != nil || depth > 2 {
		return "", v.wrong(name, "one of: "+referenceAllowed)
	}

	found := ""
	for _, m := range parts {
		inner, err := jsonValue(m.raw)
		if err != nil {
			return "", bodyError(name, err)
		}
		switch {
		case inner.absent() || m.name == "type" || m.name == "detail":
		case m.name == "file_id":
			return "", noFiles(name)
		case slices.Contains(inside, m.name) && found == "":
			if found, err = referenceText(name, inner, depth+1); err != nil {
				return "", err
			}
		default:
			return "", v.wrong(name, "one of: "+referenceAllowed)
		}
	}
	return found, nil
}

// inside are the names under which objects have what a reference is: {"id": ...} is OpenAI's for a
// video.
var inside = []string{"image_url", "video_url", "url", "id"}

// noFiles refuses the id of an uploaded file: there is no store of those.
func noFiles(name string) error {
	return &job.FieldError{Field: name, Value: "a file_id", Allowed: referenceAllowed +
		"; uploaded files are not kept"}
}

// receive takes a part of a form: a file, or a text that stands for one. A browser's form sends an
// empty part without a name where no file was chosen. All of it goes to disk first, as only its
// bytes tell which of them it is.
func (q *request) receive(name string, part *multipart.Part, p *place) error {
	data := bufio.NewReader(part)
	if _, err := data.Peek(1); errors.Is(err, io.EOF) && part.FileName() == "" {
		return nil
	}
	if err := p.take(); err != nil {
		return err
	}
	f, err := receiveFile(data)
	if err != nil {
		return bodyError("the form", err)
	}

	ref := &reference{name: name, file: f}
	if part.FileName() == "" {
		ref, err = ref.asText(q)
		if ref == nil || err != nil {
			return err
		}
	}
	return q.refer(ref)
}

// asText returns the reference if it is a file after all. A text is set as the request's; of one
// that is empty nothing is left. curl -F 'input_reference=<a.png' sends a picture without a file
// name, and -F input_reference=data:... a text; the first 512 bytes tell them apart.
func (r *reference) asText(q *request) (*reference, error) {
	head := make([]byte, 512)
	n, err := r.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		r.drop()
		return nil, err
	}

	if kind := http.DetectContentType(head[:n]); n > 0 && (media.PictureKind(head[:n]) != "" ||
		!strings.HasPrefix(kind, "text/")) {
		return r, nil
	}

	defer r.drop()
	text, err := io.ReadAll(io.NewSectionReader(r.file, 0, inlineMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > inlineMax {
		return nil, &http.MaxBytesError{Limit: inlineMax}
	}
	return nil, q.set(r.name, value{text: string(text)})
}

// receiveFile copies r to a temporary file, which the caller drops. More than source.Max bytes are
// a *http.MaxBytesError, and then nothing is left on disk.
func receiveFile(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "longtake-input-*")
	if err != nil {
		return nil, &schema.Error{Status: http.StatusInternalServerError, Type: "server_error",
			Message: fmt.Sprintf("cannot create a temporary file: %v", err)}
	}
	n, err := io.Copy(f, io.LimitReader(r, source.Max+1))
	if err == nil && n > source.Max {
		err = &http.MaxBytesError{Limit: source.Max}
	}
	if err != nil {
		(&reference{file: f}).drop()
		return nil, err
	}
	return f, nil
}

// inputs returns what a request's clip is made from, with the place that all of it shares; none if
// that is words alone. A text is decoded to a file here; a URL is fetched only when it is opened.
// The place is the caller's to leave, also after an error, and then so are the files to drop.
func (q *request) inputs(p *place) (inputs, error) {
	if len(q.refs) == 0 {
		return nil, nil
	}
	if err := p.take(); err != nil {
		return nil, err
	}
	var all inputs
	for _, r := range q.refs {
		in, err := r.received(p)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	return all, nil
}

// received makes a file of a text, unless it is a URL.
func (r *reference) received(p *place) (*received, error) {
	in := &received{field: r.field, name: r.name, file: r.file, place: p}
	if lower := strings.ToLower(r.text[:min(len(r.text), 8)]); strings.HasPrefix(lower, "http://") ||
		strings.HasPrefix(lower, "https://") {
		in.url, in.fetch = r.text, p.s.fetch
		return in, nil
	}
	if id, ok := r.made(); ok {
		in.made = id
		return in, nil
	}
	if r.file != nil {
		return in, nil
	}

	data, err := r.decode()
	if err == nil {
		r.file, err = receiveFile(bytes.NewReader(data))
	}
	in.file = r.file
	return in, err
}

// decode returns the bytes of a data URL, or of base64 that holds a picture: any word is base64 of
// something. So base64 without "data:" has to begin like a picture, and a data URL may have any
// bytes: source.Inspect judges those.
func (r *reference) decode() ([]byte, error) {
	text, isURL := r.text, false
	wrong := func(what string) error {
		return &job.FieldError{Field: r.name, Value: what, Allowed: referenceAllowed}
	}
	head, rest, _ := strings.Cut(text, ",")
	if head = strings.ToLower(head[:min(len(head), 256)]); strings.HasPrefix(head, "data:") {
		if !strings.HasSuffix(head, ";base64") {
			return nil, wrong("a data URL that is not base64")
		}
		text, isURL = rest, true
	}

	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(plainBase64.Replace(text), "="))
	switch {
	case err != nil && isURL:
		return nil, wrong("a data URL with broken base64")
	case err != nil || !isURL && media.PictureKind(data) == "":
		return nil, wrong(fmt.Sprintf("%.32q", r.text))
	}
	return data, nil
}

// plainBase64 takes out white space, and turns the alphabet of URLs into the usual one.
var plainBase64 = strings.NewReplacer(" ", "", "\n", "", "\r", "", "\t", "", "-", "+", "_", "/")
