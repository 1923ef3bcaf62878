package tokenizer

import (
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// checkEncode holds Encode to what it promises for any text and tokenizer.
func checkEncode(t interface{ Fatalf(string, ...any) }, tok *Tokenizer, text string, limit int) {
	ids, truncated := tok.Encode(text, limit)
	full, cut := tok.Encode(text, math.MaxInt32)
	if cut || len(ids) > max(limit, 0) || truncated != (len(full) > max(limit, 0)) {
		t.Fatalf("Encode(%q, %d): %d of %d ids, %v", text, limit, len(ids), len(full), truncated)
	}
	after := len(tok.template.after)
	if head := max(len(ids)-after, 0); limit > after+len(tok.template.before) &&
		(!slices.Equal(ids[:head], full[:head]) || !slices.Equal(ids[head:], tok.template.after)) {
		t.Fatalf("Encode(%q, %d) = %v, want the start of %v", text, limit, ids, full)
	}
	for _, id := range full {
		if id < 0 || int(id) >= tok.VocabSize() {
			t.Fatalf("Encode(%q): id %d of %d", text, id, tok.VocabSize())
		}
	}
}

func TestEncodeLimits(t *testing.T) {
	tok := demo(t)
	if tok.VocabSize() != 451 {
		t.Errorf("VocabSize() = %d, want 451", tok.VocabSize())
	}
	for _, c := range []struct {
		text      string
		max       int
		want      []int32
		truncated bool
	}{
		{"a", 0, nil, true},
		{"a", -1, nil, true},
		{"a", 1, []int32{1}, true},
		{"", 1, []int32{1}, false},
		{"a", 2, []int32{259, 1}, false},
		{"a a", 2, []int32{259, 1}, true},
		{"\xff", 9, []int32{1}, false},
	} {
		ids, truncated := tok.Encode(c.text, c.max)
		if !slices.Equal(ids, c.want) || truncated != c.truncated {
			t.Errorf("Encode(%q, %d) = %v, %v", c.text, c.max, ids, truncated)
		}
	}
	long := strings.Repeat("a red ball ", 1000)
	if ids, truncated := tok.Encode(long, 512); len(ids) != 512 || ids[511] != 1 || !truncated {
		t.Errorf("a long prompt gives %d ids, %v", len(ids), truncated)
	}
}

func TestEncodeLaws(t *testing.T) {
	tok := demo(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		checkEncode(t, tok, text, rapid.IntRange(-1, 40).Draw(t, "max"))
	})
}

// The trie must agree with a map on any set of keys.
func TestTrieAgreesWithMap(t *testing.T) {
	key := rapid.StringOfN(rapid.RuneFrom([]rune("abé")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		byKey := map[string]int32{}
		var entries []entry
		for i, k := range rapid.SliceOf(key).Draw(t, "keys") {
			entries = append(entries, entry{k, int32(i)})
			byKey[k] = int32(i)
		}
		tr := newTrie(entries)
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abé")), 0, 6, -1).Draw(t, "text")
		want, size := int32(-1), 0
		for end := 1; end <= len(text); end++ {
			id, ok := byKey[text[:end]]
			if ok {
				want, size = id, end
			}
			if found := tr.find(text[:end]); ok != (found >= 0) || ok && found != id {
				t.Fatalf("find(%q) = %d, want %d, %v", text[:end], found, id, ok)
			}
		}
		if id, n := tr.longest(text); id != want || n != size {
			t.Fatalf("longest(%q) = %d, %d, want %d, %d", text, id, n, want, size)
		}
	})
}

// No segmentation may score above the one that the search finds.
func TestSearchIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[abc]{1,3}`), 1, 8, rapid.ID[string])
		pieces := []piece{{"<unk>", 0}}
		for _, k := range keys.Draw(t, "pieces") {
			pieces = append(pieces, piece{k, float64(rapid.IntRange(-9, 0).Draw(t, "score"))})
		}
		m := newUnigram(pieces, 0, false)
		word := rapid.StringMatching(`[abcd]{1,8}`).Draw(t, "word")
		if got, want := m.search(word)[len(word)].score, bestScore(m, word); got != want {
			t.Fatalf("search(%q) scores %v, want %v", word, got, want)
		}
	})
}

// bestScore tries every segmentation.
func bestScore(m *unigram, word string) float64 {
	if word == "" {
		return 0
	}
	best := math.Inf(-1)
	if m.pieces.find(word[:1]) < 0 {
		best = m.floor + bestScore(m, word[1:])
	}
	for end := 1; end <= len(word); end++ {
		if id := m.pieces.find(word[:end]); id >= 0 {
			best = max(best, m.scores[id]+bestScore(m, word[end:]))
		}
	}
	return best
}

func TestCleanSpace(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{" \u00a0\u3000\t a\u2003\u1680b\u200bc \n", "a b\u200bc"},
		{"&nbsp;&amp;nbsp;x&#28;y&#x1c;", "xy"},
		{"\x1cx", "x"},
		{"\xffa", "\ufffda"},
	} {
		if got := Clean(c.raw); got != c.want {
			t.Errorf("Clean(%+q) = %+q, want %+q", c.raw, got, c.want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	tok := demo(f)
	for _, text := range []string{
		"", "a red ball", "schön 日本 🎬", "</s>a<pad>", "e\u0301 ﬁ\r\n\x00", "\xff\xed\xa0\x80", "▁▁",
	} {
		f.Add(text, 8)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		checkEncode(t, tok, text, min(max(limit, -1), 1<<10))
		clean := Clean(text)
		if !utf8.ValidString(clean) || clean != strings.TrimSpace(clean) {
			t.Fatalf("Clean(%q) = %q", text, clean)
		}
	})
}

func TestLowerCase(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"A Red BALL, 4K":          "a red ball, 4k",
		"<b>Falls</b> DON'T":      "<b>falls</b> don't",
		"ein grüner Würfel FÄLLT": "ein grüner Würfel FÄLLT",
		"東京A Ａ ÀB":                "東京A Ａ ÀB",
		"A\xffB":                  "a\xffb",
		"E\u0301A 🎲B":             "E\u0301A 🎲b",
	} {
		if got := LowerCase(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
