package tidy

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// architecture is the page that maps the code, by its path from the root.
const architecture = "docs/architecture.md"

// section returns the part of a page below a heading of the second level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", architecture, heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// TestArchitectureNamesWhatExists holds the answers to the code: an answer has files, each followed
// by the names, in brackets, that it declares.
func TestArchitectureNamesWhatExists(t *testing.T) {
	declared := map[string]map[string]bool{}
	for _, s := range sources(t) {
		declared[s.path] = declarations(s.file)
	}

	answer := regexp.MustCompile("`((?:internal|cmd)/[^`]+)`(?: \\(([^)]*)\\))?")
	quoted := regexp.MustCompile("`([^`]+)`")
	count := 0
	answers := section(t, page(t, architecture), "Questions and answers")
	for _, row := range strings.Split(answers, "\n") {
		for _, m := range answer.FindAllStringSubmatch(row, -1) {
			for _, name := range quoted.FindAllStringSubmatch(m[2], -1) {
				count++
				if !declared[m[1]][name[1]] {
					t.Errorf("%s: %s does not declare %s; write where it is now", architecture, m[1], name[1])
				}
			}
		}
	}
	if count < 40 {
		t.Errorf("only %d names were found in the answers of %s", count, architecture)
	}
}

// TestArchitectureNamesGoroutinesThatExist looks for the names of the section on goroutines, which
// are Type.Method or a method's name alone, anywhere in the project.
func TestArchitectureNamesGoroutinesThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sources(t) {
		for name := range declarations(s.file) {
			known[name] = true
			if _, method, ok := strings.Cut(name, "."); ok {
				known[method] = true
			}
			known[s.file.Name.Name+"."+name] = true
		}
	}

	name := regexp.MustCompile("`([A-Za-z]+(?:\\.[A-Za-z]+)?)`")
	owners := section(t, page(t, architecture), "Which goroutine owns what")
	found := name.FindAllStringSubmatch(owners, -1)
	if len(found) == 0 {
		t.Errorf("%s names no goroutine", architecture)
	}
	for _, m := range found {
		if !known[m[1]] {
			t.Errorf("%s: nothing is called %s any more; write what it is now", architecture, m[1])
		}
	}
}

// declarations returns the top-level names of a file: functions, types, variables and constants;
// methods are Type.Method.
func declarations(f *ast.File) map[string]bool {
	out := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			out[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					out[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range s.Names {
						out[n.Name] = true
					}
				}
			}
		}
	}
	return out
}

// receiver returns "Type." for a method, "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	return typ.(*ast.Ident).Name + "."
}

// TestArchitectureListsEveryPackage compares the tree that the page draws with the packages.
func TestArchitectureListsEveryPackage(t *testing.T) {
	var have, listed []string
	for _, s := range sources(t) {
		if rest, ok := strings.CutPrefix(s.dir, "internal/"); ok && !slices.Contains(have, rest) {
			have = append(have, rest)
		}
	}

	_, tree, _ := strings.Cut(section(t, page(t, architecture), "The package tree"), "\ninternal/\n")
	for _, line := range strings.Split(tree, "\n") {
		if !strings.HasPrefix(line, "  ") {
			break
		}
		for _, word := range strings.Fields(line) {
			dir, isDir := strings.CutSuffix(word, "/")
			if !isDir {
				break
			}
			listed = append(listed, dir)
		}
	}

	for _, p := range have {
		if !slices.Contains(listed, p) && !strings.Contains(p, "testdata") {
			t.Errorf("the package tree of %s lacks %s", architecture, p)
		}
	}
	for _, p := range listed {
		if !slices.Contains(have, p) {
			t.Errorf("the package tree of %s has %s, which does not exist", architecture, p)
		}
	}
}
