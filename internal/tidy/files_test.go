package tidy

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFilesAreShort(t *testing.T) {
	var long []string
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > fileMax && !s.generated {
			long = append(long, fmt.Sprintf("%s has %d lines", s.path, n))
		}
	}
	if len(long) > longFiles {
		t.Errorf("%d files have more than %d lines; allowed: %d\n%s", len(long), fileMax, longFiles,
			sample(long))
	}
}

// TestMarkdownIsWrapped looks at prose: tables, blocks of code and long links stay on one line.
func TestMarkdownIsWrapped(t *testing.T) {
	var wide []string
	for _, file := range tree(t) {
		if path.Ext(file) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root(), file))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range wideLines(string(text)) {
			wide = append(wide, fmt.Sprintf("%s:%d", file, n))
		}
	}
	if len(wide) > wideProse {
		t.Errorf("%d lines of Markdown have more than %d columns; allowed: %d\n%s", len(wide),
			columnsMax, wideProse, sample(wide))
	}
}

// wideLines returns the numbers of the lines of a Markdown text that ought to be wrapped.
func wideLines(text string) []int {
	var out []int
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		start := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(start, "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(start, "|") || strings.HasPrefix(start, "<"):
		case utf8.RuneCountInString(line) > columnsMax && !endsInLink(line):
			out = append(out, i+1)
		}
	}
	return out
}

// endsInLink reports whether only a link, which cannot be broken, passes the last column.
func endsInLink(line string) bool {
	space := strings.LastIndexByte(strings.TrimRight(line, " "), ' ')
	last := line[space+1:]
	return utf8.RuneCountInString(line[:space+1]) <= columnsMax &&
		(strings.Contains(last, "://") || strings.Contains(last, "]("))
}

func TestWideLinesAreFound(t *testing.T) {
	words := strings.Repeat("word ", 21)
	f := func(text string, want int) {
		t.Helper()
		if got := wideLines(text); len(got) != want {
			t.Errorf("%q has the wide lines %v; want %d", text, got, want)
		}
	}
	f("short", 0)
	f(words, 1)
	f("| "+words, 0)
	f("```\n"+words+"\n```\n"+words, 1)
	f(strings.Repeat("word ", 15)+"[name](https://example.com/a/long/path)", 0)
	f(words+"[name](https://example.com/a/long/path)", 1)
}
