package prompts

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheListOfOurOwn has forty different prompts, and a hash that results name.
func TestTheListOfOurOwn(t *testing.T) {
	l, err := Open("")
	if err != nil || l.Name != Builtin || len(l.Prompts) != 40 || len(l.SHA256) != 64 {
		t.Fatalf("%d prompts, %v", len(l.Prompts), err)
	}
	seen := map[string]bool{}
	for _, p := range l.Prompts {
		if seen[p.Text] || p.Text == "" || strings.TrimSpace(p.Text) != p.Text {
			t.Errorf("%q", p.Text)
		}
		seen[p.Text] = true
	}
	if again, _ := Open(Builtin); again.SHA256 != l.SHA256 {
		t.Error("another list by its name")
	}
}

// TestFiles: lines of text, and of JSON.
func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("\xef\xbb\xbfa red ball\r\n\n a blue one\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path)
	if err != nil || len(l.Prompts) != 2 || l.Prompts[0].Text != "a red ball" ||
		l.Prompts[1].Text != " a blue one" || l.Name != path {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = Parse("b", []byte(`{"prompt": "", "negative": "n", "size": "832x480", "frames": 81, `+
		`"seed": 18446744073709551615, "priority": -5, "model": "m"}`+"\n"+`{"prompt": "b"}`))
	if err != nil || len(l.Prompts) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	p := l.Prompts[0]
	if p.Text != "" || p.Negative != "n" || p.Width != 832 || p.Height != 480 || p.Frames != 81 ||
		*p.Seed != 1<<64-1 || *p.Priority != -5 || p.Model != "m" || l.Prompts[1].Seed != nil {
		t.Errorf("%+v", p)
	}
}

// TestBadFiles: each has one error, with its line.
func TestBadFiles(t *testing.T) {
	for file, says := range map[string]string{
		"":                                        "f has no prompt",
		"\n \n":                                   "f has no prompt",
		"a\n\xff":                                 "f:2: it is not UTF-8",
		`{"prompt": "` + "\xff\"}":                "f:1: it is not UTF-8",
		`{"prompt": "a"}` + "\nb":                 "f:2: invalid character",
		`{"prompt": "a"} {}`:                      "f:1: more than one",
		`{"negative": "a"}`:                       "f:1: it has no prompt",
		`{"prompt": null}`:                        "f:1: it has no prompt",
		`{"prompt": 5}`:                           "f:1: cannot unmarshal number",
		`{"prompt": "a", "steps": 5}`:             `f:1: unknown field "steps"; allowed: an object with`,
		`{"prompt": "a", "size": "832"}`:          `f:1: size is "832"; allowed`,
		`{"prompt": "a", "size": "8x8x"}`:         "f:1: size is",
		`{"prompt": "a", "size": "99999x1"}`:      "f:1: size is",
		`{"prompt": "a", "frames": 0}`:            "f:1: frames is 0",
		`{"prompt": "a", "frames": 99999999}`:     "f:1: frames is 99999999",
		`{"prompt": "a", "priority": 101}`:        "f:1: priority is 101; allowed: -100 to 100",
		`{"prompt": "a", "seed": -1}`:             "f:1: cannot unmarshal",
		strings.Repeat("a", PromptMax+1):          "f:1: prompt has 32769 bytes",
		strings.Repeat("a\n", ListMax+1):          "f:100001: more than 100000 prompts",
		"{\"prompt\": \"a\"}\n\n{\"prompt\": \"b": "f:3: unexpected EOF",
	} {
		_, err := Parse("f", []byte(file))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.30q: %v, want %q", file, err, says)
		}
	}
	if _, err := Parse("f", make([]byte, FileMax+1)); err == nil {
		t.Error("a huge file was taken")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// TestMLPerf: another list says that it is another.
func TestMLPerf(t *testing.T) {
	l, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.MLPerf(); err == nil ||
		!strings.Contains(err.Error(), "40 prompts; MLPerf's list has 248") {
		t.Error(err)
	}
	var b bytes.Buffer
	for i := range MLPerfCount {
		fmt.Fprintln(&b, i)
	}
	if l, err = Parse("f", b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := l.MLPerf(); err == nil || !strings.Contains(err.Error(), MLPerfSHA256) {
		t.Error(err)
	}
	l.SHA256 = MLPerfSHA256
	if err := l.MLPerf(); err != nil {
		t.Error(err)
	}
}

// FuzzParse: any file is a list within its limits, or an error in one line.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a\nb\r\n"))
	f.Add([]byte(`{"prompt": "a", "size": "8x8", "seed": 5}`))
	f.Add([]byte("{\"prompt\": \"a\", \"frames\": -1}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse("f", b)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q", err)
			}
			return
		}
		if len(l.Prompts) == 0 || len(l.Prompts) > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("%d prompts", len(l.Prompts))
		}
		for _, p := range l.Prompts {
			if err := p.check(); err != nil || p.Frames < 0 || (p.Width == 0) != (p.Height == 0) {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}
