package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// module is the path before every package of the project.
const module = "github.com/longtake/longtake/"

// source is one Go file of the project.
type source struct {
	path      string // from the root, with slashes
	dir       string // of the path
	text      []byte
	file      *ast.File
	fset      *token.FileSet
	test      bool
	generated bool
}

// root is the project's folder.
func root() string { return filepath.Join("..", "..") }

// tree lists the files of the project, by their path from the root, without what is not its own.
func tree(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root(), path)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); d.IsDir() && (rel == ".git" || rel == "bin") {
			return filepath.SkipDir
		}
		if !d.IsDir() && rel != ".git" { // a file where the tree is one of several of a repository
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sources parses every Go file.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	for _, path := range tree(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		s := source{path: path, dir: filepath.ToSlash(filepath.Dir(path)), fset: token.NewFileSet(),
			test: strings.HasSuffix(path, "_test.go")}
		var err error
		if s.text, err = os.ReadFile(filepath.Join(root(), path)); err != nil {
			t.Fatal(err)
		}
		s.file, err = parser.ParseFile(s.fset, path, s.text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.generated = ast.IsGenerated(s.file)
		out = append(out, s)
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found below %s", len(out), root())
	}
	return out
}

// lines returns how many lines of the file a node takes.
func (s source) lines(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

// line returns the number of the line at pos.
func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// at returns where a node begins, as file:line.
func (s source) at(n ast.Node) string { return fmt.Sprintf("%s:%d", s.path, s.line(n.Pos())) }

// wide returns the numbers of the lines of more than columnsMax columns.
func (s source) wide() []int {
	var out []int
	for i, l := range bytes.Split(s.text, []byte("\n")) {
		if utf8.RuneCount(l) > columnsMax {
			out = append(out, i+1)
		}
	}
	return out
}

// sample joins the first of many findings, one a line.
func sample(findings []string) string {
	const most = 40
	if len(findings) > most {
		findings = append(slices.Clone(findings[:most]), "...")
	}
	return strings.Join(findings, "\n")
}
