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

// setter takes a field's value into a request. name is what the request calls the field.
type setter func(q *request, name string, v value) error

// fieldNames lists the fields that a request may have and that longtake acts on.
var fieldNames = func() (names []string) {
	for _, f := range job.Fields {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}()

// known is every name that is taken, for hints.
var known = func() []string {
	names := slices.Concat(fieldNames, idle, counts, slices.Collect(maps.Keys(unable)),
		slices.Collect(maps.Keys(unused)), slices.Collect(maps.Keys(holders)))
	for _, f := range job.Fields {
		names = append(names, f.Aliases...)
	}
	return names
}()

// isReference reports whether a field is what the clip starts from, under one of its names.
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

// request is a request that is being read. What it sets twice, in whatever words, is refused.
type request struct {
	job.Request
	given map[string]string // the fields, and what they were called
	ref   *reference        // what the clip starts from
}

// set takes a field, ours or another server's, as JSON and forms write it.
func (q *request) set(name string, v value) error {
	name = strings.TrimSuffix(name, "[]")            // a form's way to write lists
	if base, key, ok := strings.Cut(name, "["); ok { // a form's way to write objects
		return q.setPart(base, "["+key, v)
	}
	own := name
	if f, ok := job.LookupField(name); ok {
		own = f.Name
	}
	set := find(name)
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
	case kind == job.TypeSeed:
		v = v.onlyElement()
	case kind == job.TypeStoryboard && v.raw != nil:
		v.text = string(v.raw)
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

// unknown says that there is no field of a name, and which one may be meant.
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

// prompted wants something to show.
func (q *request) prompted() error {
	if q.Says("prompt") || q.Says("storyboard") {
		return nil
	}
	return invalid("prompt", "prompt is missing; allowed: a text, which may be empty, "+
		"or a storyboard")
}

// note adds a notice for the client.
func (q *request) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	text = strings.ToValidUTF8(text[:min(len(text), job.NoteLimit)], "")
	if len(q.Notes) < job.NotesLimit && !slices.Contains(q.Notes, text) {
		q.Notes = append(q.Notes, text)
	}
}
