package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"slices"
	"strings"
	"testing"
)

func TestFunctionsAreShort(t *testing.T) {
	var lengths []int
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := s.lines(f)
			if n > longestMax {
				t.Errorf("%s: %s has %d lines; allowed: %d", s.path, f.Name.Name, n, longestMax)
			}
			if !s.test {
				lengths = append(lengths, n)
			}
		}
	}
	slices.Sort(lengths)
	if m := lengths[len(lengths)/2]; m > medianMax {
		t.Errorf("the median function has %d lines; allowed: %d", m, medianMax)
	}
	if m := lengths[len(lengths)*95/100]; m > p95Max {
		t.Errorf("one in twenty functions has %d lines or more; allowed: %d", m, p95Max)
	}
}

func TestLinesAreShortAndFormatted(t *testing.T) {
	var wide []string
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		for _, n := range s.wide() {
			at := fmt.Sprintf("%s:%d", s.path, n)
			if !s.test {
				t.Errorf("%s has more than %d columns", at, columnsMax)
			}
			wide = append(wide, at)
		}

		want, err := format.Source(s.text)
		if err != nil || !bytes.Equal(want, s.text) {
			t.Errorf("%s is not as gofmt writes it (%v)", s.path, err)
		}
	}
	if len(wide) > wideTests {
		t.Errorf("%d lines of tests have more than %d columns; allowed: %d\n%s", len(wide), columnsMax,
			wideTests, sample(wide))
	}
}

// TestEveryExportedNameIsDocumented also wants a package comment in every package.
func TestEveryExportedNameIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", s.path, name)
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// undocumented lists the exported names of a declaration that lack a comment. In a group, the
// group's comment, one of the line, or one after it will do.
func undocumented(d ast.Decl) []string {
	var out []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			out = append(out, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					out = append(out, s.Name.Name)
				}
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Names[0].IsExported() {
					out = append(out, s.Names[0].Name)
				}
			}
		}
	}
	return out
}

// exportedReceiver reports whether a function can be reached from outside of its package.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = exported && (id.IsExported() || len(id.Name) == 1)
		}
		return true
	})
	return exported
}

func TestPackagesAreNamedAfterThings(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(vague, strings.TrimSuffix(s.file.Name.Name, "_test")) {
			t.Errorf("%s: package %s says nothing", s.path, s.file.Name.Name)
		}
	}
}
