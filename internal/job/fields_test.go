package job

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of fields into docs/api.md")

// TestDocsHaveTheFields holds the table of docs/api.md to the list.
func TestDocsHaveTheFields(t *testing.T) {
	const path = "../../docs/api.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "| field | takes |\n")
	_, after, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("%s has no table of fields", path)
	}
	want := before + docTable() + "\n" + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatalf("the table of %s differs; write it with go test ./internal/job -run Docs -update",
			path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a page
		t.Fatal(err)
	}
}

// TestFieldsAreComplete wants each row to name things that no other row does, and every field of a
// request and of a spec to be in a row, unless it is none of a client's.
func TestFieldsAreComplete(t *testing.T) {
	names, flags := map[string]bool{}, map[string]bool{}
	for _, f := range Fields {
		for _, n := range slices.Concat([]string{f.Name}, f.Aliases, f.Mistaken) {
			if names[n] {
				t.Errorf("%s stands for two fields", n)
			}
			names[n] = true
		}
		if f.Flag != "" && !f.Part && flags[f.Flag] {
			t.Errorf("--%s sets two fields", f.Flag)
		}
		flags[f.Flag] = flags[f.Flag] || !f.Part
		if f.Flag != "" && !f.Part && f.Type() != TypeFile && f.Help == "" {
			t.Errorf("--%s has no help", f.Flag)
		}
		for _, other := range f.Unless {
			if _, ok := LookupField(other); !ok {
				t.Errorf("%s is not inherited with %s, which is no field", f.Name, other)
			}
		}
	}

	internal := []string{"num_frames_asked", "blocks", "causal", "inputs", "remixed_from", "model_asked",
		"seconds_asked", "notes"}
	for f := range reflect.TypeFor[Spec]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if _, ok := LookupField(name); !ok && !slices.Contains(internal, name) {
			t.Errorf("a spec has %s, and no request can say it", name)
		}
	}
}

// examples are texts of every type that Set reads, and one that it does not.
var examples = map[Type][2]string{
	TypeText: {"euler", ""}, TypePrompt: {"a ball", ""}, TypeInteger: {" 81.0", "many"},
	TypeNumber: {"2.5", "NaN5"}, TypeRate: {"24000/1001", "fast"}, TypeSeed: {"7", "1.5"},
	TypeSeconds: {"1.5", "long"}, TypeBool: {"True", "maybe"}, TypeMesh: {"cfg=2", "cfg=0"},
	TypeStoryboard: {`[{"start": 0, "prompt": "a"}]`, `[{"begin": 0}]`},
}

// TestFieldsAreSetAndSaid sets each field from a text. What it says comes back under its name, a
// copy made before does not have it, and another text is refused with the field's name.
func TestFieldsAreSetAndSaid(t *testing.T) {
	for _, f := range Fields {
		if f.Type() == TypeFile {
			continue
		}
		var r Request
		text := examples[f.Type()]
		before := r
		if err := f.Set(&r, text[0]); err != nil || !r.Says(f.Name) || before.Says(f.Name) {
			t.Errorf("%s %q: %v, said %v", f.Name, text[0], err, r.Says(f.Name))
		}
		for _, other := range Fields {
			if other.Name != f.Name && r.Says(other.Name) {
				t.Errorf("%s sets %s, too", f.Name, other.Name)
			}
		}
		if text[1] == "" {
			continue
		}
		wrong := []string{text[1]}
		if f.Type() == TypeNumber || f.Type() == TypeNumbers || f.Type() == TypeSeconds {
			wrong = append(wrong, "nan", "-Inf")
		}
		for _, text := range wrong {
			if err := f.Set(&r, text); err == nil || !strings.HasPrefix(err.Error(), f.Name+" is ") {
				t.Errorf("%s %q: %v", f.Name, text, err)
			}
		}
	}
}

// TestAZeroIsSaid tells a value that is its type's zero from one that is left out.
func TestAZeroIsSaid(t *testing.T) {
	for name, text := range map[string]string{"prompt": "", "shards": "0", "priority": "0"} {
		var r Request
		f, _ := LookupField(name)
		if err := f.Set(&r, text); err != nil || !r.Says(name) || (Request{}).Says(name) {
			t.Errorf("%s: %v, %v", name, err, r.Says(name))
		}
		s := Spec{Prompt: "a ball", Shards: 4, Priority: 3}
		r.Inherit(demo(), s, ByRemix)
		if v, _ := f.Get(r); !reflect.ValueOf(v).IsZero() {
			t.Errorf("%s: %v was inherited", name, v)
		}
	}
	var r Request
	f, _ := LookupField("seed")
	if err := f.Set(&r, "-1"); err != nil || r.Says("seed") {
		t.Errorf("a seed to be drawn: %v, %v", err, r.Seed)
	}
}

// docTable is the table of docs/api.md: a line for each field, or for those that share one.
func docTable() string {
	var b strings.Builder
	b.WriteString("| field | takes |\n|---|---|\n")
	for i := 0; i < len(Fields); {
		first, names, aliases := Fields[i], []string{Fields[i].Name}, Fields[i].Aliases
		for i++; i < len(Fields) && Fields[i].Doc == ""; i++ {
			names, aliases = append(names, Fields[i].Name), slices.Concat(aliases, Fields[i].Aliases)
		}
		fmt.Fprintf(&b, "| %s | %s", inCode(names), first.Doc)
		if len(aliases) > 0 {
			fmt.Fprintf(&b, "; also called %s", inCode(aliases))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// inCode lists names as Markdown shows code.
func inCode(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
