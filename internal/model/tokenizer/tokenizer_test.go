package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const (
	demoFile = "../../../models/demo/tokenizer/tokenizer.json"
	golden   = "../../../testdata/golden/"
)

// demo loads the shipped tokenizer.
func demo(tb testing.TB) *Tokenizer {
	tb.Helper()
	data, err := os.ReadFile(filepath.FromSlash(demoFile))
	if err != nil {
		tb.Fatal(err)
	}
	t, err := Load(data)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// eachLine decodes every line of a JSON lines file into a new T.
func eachLine[T any](t *testing.T, name string, use func(T)) {
	t.Helper()
	f, err := os.Open(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		use(v)
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatalf("%s: %d lines, %v", name, n, err)
	}
}

func TestEncodeGolden(t *testing.T) {
	tok := demo(t)
	type line struct {
		Text string
		IDs  []int32
	}
	eachLine(t, golden+"tokenizer.jsonl", func(l line) {
		if ids, _ := tok.Encode(l.Text, 512); !slices.Equal(ids, l.IDs) {
			t.Errorf("Encode(%q) = %v, want %v", l.Text, ids, l.IDs)
		}
	})
}

func TestCleanGolden(t *testing.T) {
	type line struct{ Raw, Clean string }
	eachLine(t, golden+"prompt_clean.jsonl", func(l line) {
		if got := Clean(l.Raw); got != l.Clean {
			t.Errorf("Clean(%q) = %q, want %q", l.Raw, got, l.Clean)
		}
	})
}
