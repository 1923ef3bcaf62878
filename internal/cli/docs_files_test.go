package cli

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wrongTargets finds targets that make does not have.
func wrongTargets(t *testing.T) func(page) []string {
	var targets []string
	rule := regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	for _, m := range rule.FindAllStringSubmatch(read(t, filepath.Join(top, "Makefile")), -1) {
		targets = append(targets, m[1])
	}
	command := regexp.MustCompile(`^(?:.*[;&]\s*)?make((?: [a-z][a-z-]*)+)`)
	return func(p page) (wrong []string) {
		for _, code := range p.code {
			m := command.FindStringSubmatch(code)
			if m == nil {
				continue
			}
			for _, target := range strings.Fields(m[1]) {
				if !slices.Contains(targets, target) {
					wrong = append(wrong, "the target "+target+" of make")
				}
			}
		}
		return wrong
	}
}

// metric is what looks like a metric of longtake.
var metric = regexp.MustCompile(`\blongtake_[a-z]+(_[a-z]+)+\b`)

// wrongMetrics finds metrics whose name is nowhere in the code. Pages about kernels have names of
// C functions that look alike.
func wrongMetrics(t *testing.T) func(page) []string {
	known := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			for _, name := range metric.FindAllString(read(t, path), -1) {
				known[name] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(p page) (wrong []string) {
		for _, name := range metric.FindAllString(p.text, -1) {
			base := name
			for _, of := range []string{"_bucket", "_sum", "_count"} { // of a histogram
				base = strings.TrimSuffix(base, of)
			}
			if !known[name] && !known[base] && !strings.HasPrefix(p.name, "kernels/") {
				wrong = append(wrong, "the metric "+name)
			}
		}
		return wrong
	}
}

// link is the target of a Markdown link.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// wrongLinks follows relative links, and their anchors.
func wrongLinks(t *testing.T) func(page) []string {
	return func(p page) (wrong []string) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if path.Ext(p.name) != ".md" || strings.Contains(m[1], ":") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := filepath.Join(top, path.Dir(p.name), file)
			if file == "" {
				to = filepath.Join(top, p.name)
			}
			if _, err := os.Stat(to); err != nil {
				wrong = append(wrong, "the page "+m[1])
			} else if anchor != "" && path.Ext(to) == ".md" &&
				!slices.Contains(anchors(read(t, to)), anchor) {
				wrong = append(wrong, "the heading "+m[1])
			}
		}
		return wrong
	}
}

// anchors lists what a page's headings can be linked by, as GitHub makes them of the titles.
func anchors(text string) []string {
	var out []string
	drop := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		title := drop.ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(title, " ", "-"))
	}
	for _, m := range regexp.MustCompile(`<a (?:id|name)="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// aPath is code that looks like a file of the project.
var aPath = regexp.MustCompile(`^(cmd|configs|deploy|docs|internal|kernels|models|testdata|` +
	`tools)/[\w./*-]*\w/?$`)

// wrongFiles finds paths that lead nowhere, neither from the project's folder nor from the page's.
func wrongFiles(*testing.T) func(page) []string {
	there := func(path string) bool {
		found, err := filepath.Glob(path)
		return err == nil && len(found) > 0
	}
	return func(p page) (wrong []string) {
		for _, code := range p.code {
			if aPath.MatchString(code) && !there(filepath.Join(top, code)) &&
				!there(filepath.Join(top, path.Dir(p.name), code)) && !goPackage(code) {
				wrong = append(wrong, "the file "+code)
			}
		}
		return wrong
	}
}

// goPackage reports whether code is a package and a name in it, such as internal/job.Spec.
func goPackage(code string) bool {
	dir, name, ok := strings.Cut(path.Base(code), ".")
	if !ok || name == "" || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	info, err := fs.Stat(os.DirFS(top), path.Join(path.Dir(code), dir))
	return err == nil && info.IsDir()
}
