package job

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Field is one thing that a request may say about a clip. Fields lists them all; what the HTTP API
// reads and writes, the flags of the command line, what a remix or an extension inherits, the
// limits, the words of errors and the table in docs/api.md all follow from that list. A new field
// is a row there, and a place in Request and Spec.
type Field struct {
	// Name is the field's in JSON, in forms and in errors, such as "num_frames".
	Name string
	// Aliases are names that other servers have for it, and that requests may use.
	Aliases []string
	// Mistaken are names under which people look for it; an error about one names the field.
	Mistaken []string

	// Flag is the flag of `longtake generate` that sets it; "": none does. Short is its one letter.
	Flag, Short string
	// Part is set where Flag sets more than this field: errors then name the field, too.
	Part bool
	// Plans marks a field on which the plan of a clip depends: `longtake plan` has its flag, too.
	Plans bool
	// Help explains the flag.
	Help string
	// Doc is what docs/api.md says that the field takes; "": the row of the field before names it.
	Doc string

	// Unset is a text that counts as the field left out, in any case; "": there is none.
	Unset string
	// Inherits says when a clip that is made from another one takes the other's value.
	Inherits Inheritance
	// Unless names fields that say the same in another way: with one of them, nothing is inherited.
	Unless []string
	// When limits what is inherited to clips for which it holds; nil: all.
	When func(Model, Spec) bool

	// Refuses says what of the field is allowed for a model and a spec that cannot have the value
	// that the spec has, "" for those that can; nil: all can.
	Refuses func(Model, Spec) string

	// Role is that of the inputs which the field brings, "" if it is no file; Many is how many files
	// it takes, 0: one.
	Role Role
	Many int

	// value is how the field is read, kept and checked; nil for a file, which the API receives.
	value value
}

// Inheritance says which clips made from another one inherit a field that their request leaves out.
type Inheritance int

// A remix is the same clip with changes. An extension goes on from a clip, with a length and a
// place in the queue of its own.
const (
	NotInherited Inheritance = iota
	ByRemix                  // by remixes alone
	ByBoth                   // by remixes and extensions
)

// Type says how a field's value is written.
type Type string

// The types. All but File are texts to Field.Set; in JSON, numbers are numbers or texts.
const (
	TypeText       Type = "text"
	TypePrompt     Type = "prompt" // a text that the model reads
	TypeInteger    Type = "integer"
	TypeNumber     Type = "number"
	TypeRate       Type = "rate"    // frames per second: see ParseRate
	TypeSeed       Type = "seed"    // see ParseSeed
	TypeSeconds    Type = "seconds" // a number that is shown again as it was written
	TypeBool       Type = "bool"
	TypeMesh       Type = "mesh"       // such as cfg=2,ulysses=3
	TypeStoryboard Type = "storyboard" // JSON of scenes; the command line reads a YAML file
	TypeLoRA       Type = "lora"       // JSON of LoRAs, or names with scales: see ParseLoRAs
	TypeNumbers    Type = "numbers"    // JSON of a list, or numbers separated by commas
	TypeFile       Type = "file"
)

// Numeric reports whether values of the type are JSON numbers.
func (t Type) Numeric() bool {
	return slices.Contains([]Type{TypeInteger, TypeNumber, TypeRate, TypeSeed, TypeSeconds}, t)
}

// Textual reports whether values of the type have to be texts in JSON.
func (t Type) Textual() bool {
	return t == TypeText || t == TypePrompt || t == TypeMesh
}

// LookupField returns the field of a name or an alias.
func LookupField(name string) (Field, bool) {
	i := slices.IndexFunc(Fields, func(f Field) bool {
		return f.Name == name || slices.Contains(f.Aliases, name)
	})
	if i < 0 {
		return Field{}, false
	}
	return Fields[i], true
}

// Type returns how the field's value is written.
func (f Field) Type() Type {
	if f.value == nil {
		return TypeFile
	}
	return f.value.form().of
}

// Allowed says which texts Set reads, such as "an integer". The limits of the value come on top;
// those are for Resolve to check, which knows the model.
func (f Field) Allowed() string {
	if f.value == nil {
		return ""
	}
	return f.value.form().allowed
}

// Set stores a value, given as text, in r. A text that is not of the field's type is a *FieldError
// with what Allowed says. A file has no text, so setting one is an error.
func (f Field) Set(r *Request, text string) error {
	if f.value == nil {
		return &FieldError{f.Name, quote(text), "a file"}
	}
	said, ok := f.value.set(r, text)
	if !ok {
		return &FieldError{f.Name, quote(text), f.Allowed()}
	}
	if said {
		r.said = maps.Clone(r.said) // copies of a request are requests of their own
		if r.said == nil {
			r.said = map[string]bool{}
		}
		r.said[f.Name] = true
	}
	return nil
}

// Get returns the value that r has, in the form that JSON wants, and whether r says one at all. A
// value that is its type's zero counts only if Set has stored it.
func (f Field) Get(r Request) (any, bool) {
	if f.value == nil {
		return nil, false
	}
	v, ok := f.value.get(&r)
	return v, ok || r.said[f.Name]
}

// Says reports whether r says the field of a name.
func (r Request) Says(name string) bool {
	f, _ := LookupField(name)
	_, ok := f.Get(r)
	return ok
}

// Inherit fills what r leaves out from the spec s of the clip of model m that r goes on from, as
// far as clips made in the way inherit it: ByRemix or ByBoth, which is an extension.
func (r *Request) Inherit(m Model, s Spec, way Inheritance) {
	before := *r // what is inherited does not count as said
	for _, f := range Fields {
		if f.Inherits < way || before.Says(f.Name) || slices.ContainsFunc(f.Unless, before.Says) ||
			f.When != nil && !f.When(m, s) {
			continue
		}
		f.value.inherit(r, &s)
	}
}

// form is how a type is written.
type form struct {
	of      Type
	allowed string // what its parser reads
}

// value is where a field is kept, and what may be there. Its one implementation is slot; the
// interface takes the type parameter off, so that fields of all types make one list.
type value interface {
	form() form
	// set stores a text. It returns whether that says a value: "-1" is a seed that says none.
	set(r *Request, text string) (said, ok bool)
	get(r *Request) (any, bool)
	// fill takes r's value into s, or the model's default.
	fill(m Model, r *Request, s *Spec)
	// inherit takes s's value into r.
	inherit(r *Request, s *Spec)
	// check returns the value as text and what is allowed, if that does not hold.
	check(s *Spec) (shown, allowed string, ok bool)
	// text returns s's value as errors show it.
	text(s *Spec) string
}

// slot keeps a field of type T.
type slot[T any] struct {
	kind[T]
	in  place[T]                // in a request
	out func(*Spec) *T          // in a spec; nil: other fields say there what it comes to
	def func(Model, *Request) T // of requests that say nothing; nil: T's zero
	limit[T]
}

// place is where a request has a value. has reports whether one is there.
type place[T any] struct {
	has func(*Request) (T, bool)
	put func(*Request, T)
}

// optional is a place whose nil means that nothing is said.
func optional[T any](at func(*Request) **T) place[T] {
	return place[T]{
		has: func(r *Request) (v T, ok bool) {
			if p := *at(r); p != nil {
				return *p, true
			}
			return v, false
		},
		put: func(r *Request, v T) { *at(r) = &v },
	}
}

// plain is a place whose zero value means that nothing is said.
func plain[T comparable](at func(*Request) *T) place[T] {
	return place[T]{
		has: func(r *Request) (T, bool) {
			var zero T
			return *at(r), *at(r) != zero
		},
		put: func(r *Request, v T) { *at(r) = v },
	}
}

// kind is how values of type T are read and shown.
type kind[T any] struct {
	written form
	parse   func(text string) (T, bool)
	show    func(T) string // in errors
	json    func(T) any    // nil: as it is
}

// limit says which values are allowed, in code and in words; a nil ok takes all.
type limit[T any] struct {
	words string
	ok    func(T) bool
}

func (s slot[T]) form() form { return s.written }

func (s slot[T]) set(r *Request, text string) (said, ok bool) {
	v, ok := s.parse(text)
	if ok {
		s.in.put(r, v)
	}
	return ok, ok
}

func (s slot[T]) get(r *Request) (any, bool) {
	v, ok := s.in.has(r)
	if s.json != nil {
		return s.json(v), ok
	}
	return v, ok
}

func (s slot[T]) fill(m Model, r *Request, to *Spec) {
	if s.out == nil {
		return
	}
	v, ok := s.in.has(r)
	if !ok && s.def != nil {
		v = s.def(m, r)
	}
	*s.out(to) = v
}

func (s slot[T]) inherit(r *Request, from *Spec) { s.in.put(r, *s.out(from)) }

func (s slot[T]) text(of *Spec) string { return s.show(*s.out(of)) }

func (s slot[T]) check(of *Spec) (shown, allowed string, ok bool) {
	if s.ok == nil || s.out == nil {
		return "", "", true
	}
	if s.ok(*s.out(of)) {
		return "", "", true
	}
	return s.text(of), s.words, false
}

// seedSlot is a slot whose "-1" asks for a value to be drawn, as leaving the field out does.
type seedSlot struct{ slot[uint64] }

func (s seedSlot) set(r *Request, text string) (said, ok bool) {
	v, err := ParseSeed(text)
	if err != nil || text == "" {
		return false, false
	}
	r.Seed = v
	return v != nil, true
}

// storyboardSlot keeps scenes, which are laid out from the spec's prompt on: see Spec.stage.
type storyboardSlot struct{}

func (storyboardSlot) form() form {
	return form{TypeStoryboard,
		`scenes, such as [{"start": 0, "prompt": "a"}, {"start": 2.5, "prompt": "b"}]`}
}

func (storyboardSlot) set(r *Request, text string) (said, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var scenes []Scene
	if err := d.Decode(&scenes); err != nil || len(scenes) == 0 || d.More() {
		return false, false
	}
	r.Scenes = scenes
	return true, true
}

func (storyboardSlot) get(r *Request) (any, bool) { return r.Scenes, r.Scenes != nil }

func (storyboardSlot) fill(Model, *Request, *Spec) {}

func (storyboardSlot) inherit(r *Request, s *Spec) { r.Scenes = s.Scenes }

func (storyboardSlot) text(s *Spec) string { return fmt.Sprintf("%d scenes", len(s.Scenes)) }

func (storyboardSlot) check(*Spec) (shown, allowed string, ok bool) { return "", "", true }

// checkFields wants every field within its limits, in the order of the list. The first one that is
// not comes back as a *FieldError.
func checkFields(s Spec) error {
	for _, f := range Fields {
		if f.value == nil {
			continue
		}
		if shown, allowed, ok := f.value.check(&s); !ok {
			return &FieldError{f.Name, shown, allowed}
		}
	}
	return nil
}

// checkRefused wants no field to have a value that m, or the rest of the spec, cannot have.
func (m Model) checkRefused(s Spec) error {
	for _, f := range Fields {
		if f.Refuses == nil {
			continue
		}
		if allowed := f.Refuses(m, s); allowed != "" {
			return &FieldError{f.Name, f.value.text(&s), allowed}
		}
	}
	return nil
}

// oneOf allows a list of names.
func oneOf[T ~string](names ...T) limit[T] {
	words := fmt.Sprint(names[0])
	for _, n := range names[1:] {
		words += ", " + string(n)
	}
	return limit[T]{words, func(v T) bool { return slices.Contains(names, v) }}
}

// between allows the integers from a to b.
func between(a, b int) limit[int] {
	return limit[int]{fmt.Sprintf("%d to %d", a, b), func(v int) bool { return a <= v && v <= b }}
}
