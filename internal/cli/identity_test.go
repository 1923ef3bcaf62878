package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
)

// TestNodeListShowsIdentities: a shard may call itself anything, its certificate may not.
func TestNodeListShowsIdentities(t *testing.T) {
	nodes := []schema.Node{{Name: "gpu-1", Identity: "gpu-1"}, {Name: "gpu-2", Identity: "gpu-9"},
		{Name: "open"}}
	var table, lines bytes.Buffer
	if err := printNodes(&table, nodes, false); err != nil {
		t.Fatal(err)
	}
	var last []string
	for line := range strings.Lines(table.String()) {
		fields := strings.Fields(line)
		last = append(last, fields[len(fields)-1])
	}
	if got := strings.Join(last, " "); got != "IDENTITY - gpu-9 -" {
		t.Errorf("the column is %q:\n%s", got, table.String())
	}

	if err := printNodes(&lines, nodes, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(lines.String(), `"identity":"gpu-`); n != 2 {
		t.Errorf("%d identities in\n%s", n, lines.String())
	}
}
