package ftfy

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// fixCase is one line of the tables in testdata, which the reference computed.
type fixCase struct{ Name, Text, Want string }

func readCases(tb testing.TB, name string) []fixCase {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var cases []fixCase
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c fixCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatal(err)
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		tb.Fatalf("%s is empty", name)
	}
	return cases
}

func TestFix(t *testing.T) {
	for _, c := range readCases(t, "fix.jsonl") {
		if got := Fix(c.Text); got != c.Want {
			t.Errorf("%s: Fix(%+q) = %+q, want %+q", c.Name, c.Text, got, c.Want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for _, c := range readCases(t, "unescape.jsonl") {
		if got := Unescape(c.Text); got != c.Want {
			t.Errorf("Unescape(%+q) = %+q, want %+q", c.Text, got, c.Want)
		}
	}
}

func TestFixInvalidUTF8(t *testing.T) {
	for _, c := range []fixCase{
		{"stray bytes", "a\xff\xfeb", "a\ufffd\ufffdb"},
		{"surrogate pair", "a\xed\xa0\xbd\xed\xb2\xa9", "a\U0001f4a9"},
		{"lone surrogate", "a\xed\xa0\xbd", "a\ufffd\ufffd\ufffd"},
		{"end in a sequence", "a\xe2\x82", "a\ufffd\ufffd"},
	} {
		if got := Fix(c.Text); got != c.Want {
			t.Errorf("%s: Fix(%q) = %q, want %q", c.Name, c.Text, got, c.Want)
		}
	}
}

func TestSegmentEnd(t *testing.T) {
	long := strings.Repeat("é", segmentCharsMax+1)
	for _, c := range []struct {
		text string
		want int
	}{
		{"a", 1}, {"a\nb", 2}, {"\n", 1}, {long, 2 * segmentCharsMax}, {long[2:], len(long) - 2},
		{long[4:] + "\nx", len(long) - 3}, {long[2:] + "\nx", len(long) - 2},
	} {
		if got := segmentEnd(c.text); got != c.want {
			t.Errorf("segmentEnd of %d bytes = %d, want %d", len(c.text), got, c.want)
		}
	}
}

// The long way to NFC must agree with norm wherever norm inserts nothing.
func TestComposeCrowdedAgrees(t *testing.T) {
	pool := []rune("aeAE \u0300\u0301\u0302\u0323\u0327\u0345\u1100\u1161\u11a8가각" +
		"\u0958\u212b\u1ec7\u0344\u0f73\u0915\u093c\u3099か")
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.SampledFrom(pool), 0, 10).Draw(t, "text"))
		if got, want := composeCrowded(text), norm.NFC.String(text); got != want {
			t.Fatalf("composeCrowded(%+q) = %+q, want %+q", text, got, want)
		}
	})
}

func FuzzFix(f *testing.F) {
	for _, c := range readCases(f, "fix.jsonl")[:40] {
		f.Add(c.Text)
	}
	f.Add("\xed\xa0\xbd\xc0\n&#99999999999;&nGt")
	f.Fuzz(func(t *testing.T, text string) {
		if got := Unescape(Fix(text)); !utf8.ValidString(got) {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
