package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/job"
)

// setter takes a field's value into a request. name is what the request calls the field. v is not
// JSON's null. An error is an answer, a 400 as a rule.
type setter func(q *request, name string, v value) error

// fieldNames lists the fields that a request may have and that longtake acts on.
var fieldNames = func() (names []string) {
	for _, f := range job.Fields {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}()

// fileNames lists the fields that are files.
var fileNames = func() (names []string) {
	for _, f := range job.Fields {
		if f.Type() == job.TypeFile {
			names = append(names, f.Name)
		}
	}
	return names
}()

// known is every name that is taken, for hints. A typo in boundary_ratio gets a hint, too, though
// that is refused then.
var known = func() []string {
	names := slices.Concat(fieldNames, idle, counts, slices.Collect(maps.Keys(unable)),
		slices.Collect(maps.Keys(unused)), slices.Collect(maps.Keys(holders)))
	for _, f := range job.Fields {
		names = append(names, f.Aliases...)
	}
	return names
}()

// isReference reports whether a field is a file that the clip is made from, under one of its names.
func isReference(name string) bool {
	f, ok := job.LookupField(name)
	return ok && f.Type() == job.TypeFile
}

// find returns how a field is set, nil if there is none of the name.
func find(name string) setter {
	f, ok := job.LookupField(name)
	switch {
	case !ok:
		return foreign(name)
	case f.Type() == job.TypeFile:
		return setReference
	}
	return func(q *request, name string, v value) error { return q.store(f, name, v) }
}

// request is a request for a clip while its body is read, field by field. What it sets twice, in
// whatever words, is refused: servers differ in which one they take, so the client could not know.
type request struct {
	job.Request
	// The fields that were set, by longtake's names, and what the request called each.
	given map[string]string
	// What the clip is made from, as it was sent, in the order in which it came. The reader of the
	// body owns the files until they become received.
	refs []*reference
	// It names no format.
	anyFormat bool
	// Fields that only this request's route has, which go before others of their names; nil: it has
	// none. A route that has some ignores what it does not know.
	own map[string]setter
}

// find returns how a field of the request is set, nil if there is none of the name.
func (q *request) find(name string) setter {
	if set, ok := q.own[name]; ok {
		return set
	}
	set := find(name)
	if set == nil && q.own != nil {
		return func(*request, string, value) error { return nil }
	}
	return set
}

// set takes a field, ours or another server's, as JSON and forms write it. JSON's null is a field
// left out. So is an empty one of a form: browsers send every input of a page.
func (q *request) set(name string, v value) error {
	name = strings.TrimSuffix(name, "[]")            // a form's way to write lists
	if base, key, ok := strings.Cut(name, "["); ok { // a form's way to write objects
		return q.setPart(base, "["+key, v)
	}
	own := name
	if f, ok := job.LookupField(name); ok {
		own = f.Name
	}

	// An unknown field is an error, never skipped: with a misspelt field, hours of GPUs would go into
	// the wrong clip. One route has to skip them.
	set := q.find(name)
	if set == nil {
		return unknown(name)
	}
	// An empty prompt is one; any other field that a form leaves empty is left out.
	if v.absent() && own != "prompt" || string(v.raw) == "null" {
		return nil
	}

	if before, ok := q.given[own]; ok {
		if before != name {
			return invalid(name, "%s and %s are given; allowed: one of them", before, name)
		}
		return invalid(name, "%s is given twice; allowed: once", name)
	}
	if q.given == nil {
		q.given = map[string]string{}
	}
	q.given[own] = name
	return set(q, name, v)
}

// store takes the value of a field of ours. JSON has kinds of values, and only those that the field
// is written in will do; a form has texts alone.
func (q *request) store(f job.Field, name string, v value) error {
	kind := f.Type()
	switch {
	// Some servers take a list of seeds, one for each clip; here there is one clip.
	case kind == job.TypeSeed:
		v = v.onlyElement()
	// JSON has the scenes as a list, a form has the same list as a text.
	case v.raw != nil && slices.Contains(listed, kind):
		v.text = string(v.raw)
	// Such as format=auto, which clients send for "as you like".
	case f.Unset != "" && strings.EqualFold(v.text, f.Unset):
		return nil
	}
	if kind.Textual() && !v.isText() || kind.Numeric() && !v.isNumber() {
		return v.wrong(name, f.Allowed())
	}
	if err := f.Set(&q.Request, v.text); err != nil {
		return v.wrong(name, f.Allowed())
	}

	switch kind {
	case job.TypePrompt:
		q.noteUnseen(name, v)
	case job.TypeStoryboard:
		q.noteUnseen(name, value{raw: json.RawMessage(v.text)})
		for _, s := range q.Scenes {
			q.noteUnseen(name, value{text: s.Prompt})
		}
	}
	return nil
}

// listed are types of lists, which JSON has as they are and forms as a text.
var listed = []job.Type{job.TypeStoryboard, job.TypeLoRA, job.TypeNumbers}

// unknown says that there is no field of a name, and which one may be meant. A name of more than 64
// bytes is no typo.
func unknown(name string) error {
	hint := ""
	meant := slices.IndexFunc(job.Fields, func(f job.Field) bool {
		return slices.Contains(f.Mistaken, name)
	})
	if meant >= 0 {
		hint = fmt.Sprintf(" did you mean %q?", job.Fields[meant].Name)
	} else if len(name) <= 64 {
		hint = config.Hint(known, name)
	}
	return invalid(fmt.Sprintf("%.64s", name), "unknown field %.64q;%s allowed: %s", name, hint,
		strings.Join(fieldNames, ", "))
}

// prompted wants something to show. create and remix call it; an extension may go on under the old
// prompt.
func (q *request) prompted() error {
	if q.Says("prompt") || q.Says("storyboard") {
		return nil
	}
	return invalid("prompt", "prompt is missing; allowed: a text, which may be empty, "+
		"or a storyboard")
}

// note adds a notice for the client. Clients find it in longtake.notices of the video. The limits
// are those of a job's notes, so that a request with a thousand odd fields does not make a large
// record.
func (q *request) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	text = strings.ToValidUTF8(text[:min(len(text), job.NoteLimit)], "")
	if len(q.Notes) < job.NotesLimit && !slices.Contains(q.Notes, text) {
		q.Notes = append(q.Notes, text)
	}
}
