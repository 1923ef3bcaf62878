package result

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write result.schema.json")

// object is a schema; the keys of Go's maps are sorted in JSON, so that it has one form.
type object = map[string]any

// schemas makes schemas of types, each with what the type's comments say.
type schemas struct {
	comments map[string]string // of "Type" and "Type.Field"
	defs     object
}

// allowed are the values of fields that are one of a list, by Type.Field.
var allowed = map[string][]string{"Scenario.Name": names.scenarios, "Request.Phase": names.phases,
	"Scenario.Arrivals": names.arrivals, "Failure.Class": names.failures,
	"Rate.Verdict": names.verdicts, "Pair.Side": names.sides,
	"Unequal.Verdict": names.clips}

func (s schemas) of(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem()), "maxItems": RequestsMax}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem()),
			"maxProperties": RequestsMax}
	case reflect.String:
		return object{"type": "string", "maxLength": stringMax}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number", "minimum": 0, "maximum": numberMax}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "minimum": 0, "maximum": int64(intMax)}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	}
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if _, ok := s.defs[t.Name()]; !ok {
		s.defs[t.Name()] = nil // a type may contain itself
		s.defs[t.Name()] = s.structure(t)
	}
	return object{"$ref": "#/$defs/" + t.Name()}
}

// structure is the schema of a struct: fields that are left out when empty are not required.
func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.of(f.Type)
		key := t.Name() + "." + f.Name
		if list := allowed[key]; list != nil {
			p = object{"enum": list}
		}
		if f.Name == "Priority" {
			p["minimum"] = -int64(intMax)
		}
		if key == "Result.Schema" {
			p = object{"enum": []int{oldest, Version}}
		}
		if text := s.comments[key]; text != "" {
			p["description"] = text
		}
		properties[name] = p
		if !strings.HasPrefix(rest, "omit") {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required,
		"additionalProperties": false, "description": s.comments[t.Name()]}
}

// comments reads what the package says of its types and their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			d, ok := n.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				return true
			}
			spec := d.Specs[0].(*ast.TypeSpec)
			out[spec.Name.Name] = oneLine(d.Doc)
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, id := range f.Names {
						out[spec.Name.Name+"."+id.Name] = oneLine(f.Doc)
					}
				}
			}
			return false
		})
	}
	return out
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// TestSchemaIsOfTheTypes holds the file to the types, so that one cannot change without the other.
func TestSchemaIsOfTheTypes(t *testing.T) {
	s := schemas{comments: comments(t), defs: object{}}
	s.of(reflect.TypeFor[Result]())
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(object{"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":   "https://github.com/longtake/longtake/internal/bench/result/result.schema.json",
		"title": "Result of a benchmark of a video server, version 2",
		"$ref":  "#/$defs/Result", "$defs": s.defs}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("result.schema.json", text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), text.Bytes()) {
		t.Error("result.schema.json is not of the types; run: " +
			"go test ./internal/bench/result -run SchemaIs -update")
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	out, err := c.Compile("result.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSchemaJudgesAsReadDoes gives both the same files.
func TestSchemaJudgesAsReadDoes(t *testing.T) {
	s := compiled(t)
	f := func(what string, r Result, good bool) {
		t.Helper()
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, read := Read(bytes.NewReader(text))
		if valid := s.Validate(doc); (valid == nil) != good || (read == nil) != good {
			t.Errorf("%s: the schema says %v, Read %v", what, valid, read)
		}
	}
	change := func(c func(*Result)) Result {
		r := example()
		c(&r)
		return r
	}
	run := plain(20)
	run.Summarize()
	f("every field", example(), true)
	f("a run", run, true)
	f("a negative priority", change(func(r *Result) { r.Requests[0].Priority = -5 }), true)
	f("a version", change(func(r *Result) { r.Schema = 3 }), false)
	f("the version before", change(func(r *Result) { r.Schema = 1 }), true)
	f("a scenario", change(func(r *Result) { r.Scenario.Name = "x" }), false)
	f("a phase", change(func(r *Result) { r.Requests[0].Phase = "x" }), false)
	f("a latency", change(func(r *Result) { r.Requests[0].Latency = -1 }), false)
	f("a number of steps", change(func(r *Result) { r.Requests[0].Steps = -1 }), false)
}
