package core

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTheCoreIsPure holds what the package comment promises: no goroutine, channel or lock, and
// neither Raft nor NATS nor Prometheus.
func TestTheCoreIsPure(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, not := range []string{"sync", "sync/", "github.com/hashicorp/",
				"github.com/nats-io/", "github.com/prometheus/"} {
				if path == not || strings.HasSuffix(not, "/") && strings.HasPrefix(path, not) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
				t.Errorf("%v: a goroutine or a channel", set.Position(n.Pos()))
			}
			return true
		})
	}
}
