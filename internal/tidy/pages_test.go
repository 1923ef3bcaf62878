package tidy

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// page reads a text file of the project.
func page(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPagesLinkToWhatExists follows the relative links of every page of Markdown, to their headings
// too, and looks for the paths of the project that pages quote.
func TestPagesLinkToWhatExists(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted := regexp.MustCompile("`((?:internal|cmd|docs|configs|deploy|kernels|models|tools|" +
		"testdata)/[^`\\s*]+)`")
	for _, file := range tree(t) {
		if path.Ext(file) != ".md" {
			continue
		}
		text := page(t, file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if why := broken(file, m[1]); why != "" {
				t.Errorf("%s links to %s: %s", file, m[1], why)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root(), m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", file, m[1])
			}
		}
	}
}

// broken says why a link of a page leads nowhere, "" if it does not or leaves the project.
func broken(file, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	where := file
	if target != "" {
		where = path.Join(path.Dir(file), target)
	}
	text, err := os.ReadFile(filepath.Join(root(), where))
	if _, dir := os.Stat(filepath.Join(root(), where)); dir != nil {
		return "there is no such file"
	}
	if anchor == "" || err != nil {
		return ""
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") && slug(strings.TrimLeft(line, "# ")) == anchor {
			return ""
		}
	}
	return fmt.Sprintf("%s has no such heading", where)
}

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
