package cli

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
)

func TestModelsOfAShard(t *testing.T) {
	n := schema.Node{Models: []string{"a", "b", "c"}, Loaded: []string{"b"}, Loading: "c",
		Refused: []string{"x"}}
	if got := modelsOf(n); got != "a,b*,c+ (1 refused)" {
		t.Errorf("%q", got)
	}
	if got := modelsOf(schema.Node{}); got != "-" {
		t.Errorf("%q", got)
	}
}

func TestModelsAreListedWithTheirShards(t *testing.T) {
	here := schema.Model{ID: "a"}
	here.Details.Default = true
	here.Details.Shards = &schema.ModelShards{Have: []string{"s0", "s1"}, Loaded: []string{"s0"},
		Loading: []string{"s1"}}
	var b strings.Builder
	if err := printModels(&b, []schema.Model{here, {ID: "b"}}, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if strings.Join(strings.Fields(lines[1]), " ") != "a yes 0x0 0 0 2 1 and 1 loading 0" ||
		strings.Join(strings.Fields(lines[2]), " ") != "b - 0x0 0 0 - - -" {
		t.Errorf("%s", b.String())
	}
}
