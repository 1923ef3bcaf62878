package tidy

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notices is the page that goes with the binaries: licences ask for their texts and for the names
// of those who hold the copyright.
const notices = "THIRD_PARTY_NOTICES.md"

// TestNoticesAreOfWhatIsLinked holds the page to the modules that the commands link, with their
// versions and licence texts. With LONGTAKE_NOTICES=1 (make notices) it writes the page.
func TestNoticesAreOfWhatIsLinked(t *testing.T) {
	want := renderNotices(t, linked(t))
	if os.Getenv("LONGTAKE_NOTICES") != "" {
		if err := os.WriteFile(filepath.Join(root(), notices), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := page(t, notices); got != want {
		t.Errorf("%s is not of the modules that are linked; run: make notices", notices)
	}
}

// linkedModule is a module of which a command links a package.
type linkedModule struct {
	path, version, dir string
}

// linked asks the go command. The tag cuda adds to what is linked; other systems than Linux link
// nothing that Linux does not, except Windows, for which there are no releases.
func linked(t *testing.T) []linkedModule {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-tags", "cuda", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...")
	list.Dir = root()
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}

	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}

	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	modules := []linkedModule{{"Go's standard library and runtime", "as built",
		strings.TrimSpace(string(goroot))}}
	for _, line := range slices.Compact(lines) {
		f := strings.Split(line, "\t")
		if len(f) == 3 {
			modules = append(modules, linkedModule{f[0], f[1], f[2]})
		}
	}
	if len(modules) < 20 {
		t.Fatalf("go list names only %d modules", len(modules))
	}
	return modules
}

// licence is a module's licence without the lines that name who holds the copyright, since many
// modules share the rest.
type licence struct {
	name, text string
	holders    []string
}

var copyrightLine = regexp.MustCompile(`(?i)^\W*(copyright( \(c\)|:| ©| [12\x{a9}\xa9])|©).*`)

// readLicence finds the licence in a module's folder.
func readLicence(t *testing.T, m linkedModule) licence {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md"} {
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			continue
		}
		var l licence
		var kept []string
		for _, line := range strings.Split(strings.ReplaceAll(string(text), "\r", ""), "\n") {
			line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " ")
			if copyrightLine.MatchString(line) && !strings.Contains(line, "[yyyy]") {
				l.holders = append(l.holders, strings.Trim(line, " *#"))
			} else {
				kept = append(kept, line)
			}
		}
		l.text = strings.Trim(strings.Join(kept, "\n"), "\n")
		l.name = licenceName(l.text)
		return l
	}
	t.Fatalf("%s has no licence in %s", m.path, m.dir)
	return licence{}
}

// licenceName tells the usual licences apart by what only they say.
func licenceName(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	for _, l := range []struct{ says, name string }{
		{"Apache License Version 2.0", "Apache-2.0"},
		{"Mozilla Public License", "MPL-2.0"},
		{"Neither the name", "BSD-3-Clause"},
		{"names of its contributors", "BSD-3-Clause"},
		{"Redistributions of source code", "BSD-2-Clause"},
		{"Permission is hereby granted, free of charge", "MIT"},
		{"Permission to use, copy, modify", "ISC"},
	} {
		if strings.Contains(flat, l.says) {
			return l.name
		}
	}
	return "see the text"
}

// renderNotices makes the page: a table of modules, then each licence text once, then the notices
// that licences ask to be passed on.
func renderNotices(t *testing.T, modules []linkedModule) string {
	t.Helper()
	var page strings.Builder
	fmt.Fprint(&page, "# Third-party notices\n\n", wrapped("The binaries of longtake contain the "+
		"following modules. `make notices` writes this page, and a test holds it to what is linked. "+
		"Copyright lines are in the table; a text that several modules share stands below once."),
		"\n\n| module | version | licence | text | copyright |\n|---|---|---|---|---|\n")

	type shared struct{ name, text string }
	var texts []shared
	var passed strings.Builder
	for _, m := range modules {
		l := readLicence(t, m)
		at := slices.Index(texts, shared{l.name, l.text})
		if at < 0 {
			at = len(texts)
			texts = append(texts, shared{l.name, l.text})
		}
		holders := cmp.Or(strings.ReplaceAll(strings.Join(l.holders, "; "), "|", "/"), "see the text")
		fmt.Fprintf(&page, "| %s | %s | %s | [%d](#text-%d) | %s |\n", m.path, m.version, l.name,
			at+1, at+1, holders)
		if text, err := os.ReadFile(filepath.Join(m.dir, "NOTICE")); err == nil {
			fmt.Fprintf(&passed, "\n### Notice of %s\n\n```\n%s\n```\n", m.path, trimLines(string(text)))
		}
	}

	for i, s := range texts {
		fmt.Fprintf(&page, "\n## Text %d\n\n%s\n\n```\n%s\n```\n", i+1, s.name, s.text)
	}
	fmt.Fprint(&page, "\n## Notices\n", passed.String())
	return page.String()
}

// trimLines drops white space at the ends of lines and of the text.
func trimLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \r")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// wrapped breaks a paragraph into lines of the width that pages have.
func wrapped(text string) string {
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > columnsMax {
			out = append(out, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return strings.Join(append(out, line), "\n")
}
