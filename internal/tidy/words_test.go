package tidy

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// strange are words that tell of something other than the project: paths of one machine, and notes
// to oneself. They are put together here, so that this file does not contain them.
var strange = regexp.MustCompile(`\.\./` + `shared\b|/work/` + `main|/home/[a-z]+/|/ro` + `ot/` +
	`|\bTO` + `DO\b|\bFIX` + `ME\b|\bX` + `XX\b`)

// TestTheProjectSpeaksOfItselfAlone looks at every text file.
func TestTheProjectSpeaksOfItselfAlone(t *testing.T) {
	for _, path := range tree(t) {
		switch filepath.Ext(path) {
		case ".safetensors", ".png", ".gif", ".jsonl", ".sum":
			continue
		}
		if strings.HasPrefix(path, "testdata/") || strings.Contains(path, "/testdata/") ||
			strings.HasSuffix(path, "tokenizer.json") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root(), path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if m := strange.Find(line); m != nil {
				t.Errorf("%s:%d says %q", path, i+1, m)
			}
		}
	}
}

// binaries are the only files that may not be text.
var binaries = regexp.MustCompile(`^(models/demo/|testdata/|docs/images/).*\.(safetensors|png|gif)$`)

func TestThereAreNoBinariesButTheCheckpointAndGoldens(t *testing.T) {
	for _, path := range tree(t) {
		text, err := os.ReadFile(filepath.Join(root(), path))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 && !binaries.MatchString(path) {
			t.Errorf("%s is not text", path)
		}
	}
}
