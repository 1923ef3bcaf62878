package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// small is a tokenizer.json with every kind of stage; %s is its normalizer.
const small = `{"version": "1.0", "added_tokens": [
	{"id": 0, "content": "<pad>", "special": true},
	{"id": 9, "content": "Ab", "normalized": true, "single_word": true, "lstrip": true}],
	"normalizer": {"type": "Sequence", "normalizers": [%s,
		{"type": "Strip", "strip_left": false, "strip_right": true},
		{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
	"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
		{"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}]},
	"post_processor": {"type": "TemplateProcessing",
		"single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
		"special_tokens": {"</s>": {"id": "</s>", "ids": [1]}}},
	"model": {"type": "Unigram", "unk_id": 2, "byte_fallback": true,
		"vocab": [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["▁", -2.5], ["a", -1e0],
			["<0x41>", 0], ["▁a", -3]]}}`

// charsmapOf encodes units and a blob as a Precompiled normalizer.
func charsmapOf(units []uint32, blob string) string {
	data := []byte{byte(4 * len(units)), 0, 0, 0}
	for _, u := range units {
		data = append(data, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	text := base64.StdEncoding.EncodeToString(append(data, blob...))
	return `{"type": "Precompiled", "precompiled_charsmap": "` + text + `"}`
}

// wild is a charsmap whose offsets point outside of everything.
var wild = charsmapOf([]uint32{1 << 10, math.MaxUint32, 1<<8 | 'a' | 1<<30, 7}, "x\x00é")

func TestLoadErrors(t *testing.T) {
	good := fmt.Sprintf(small, charsmapOf([]uint32{1 << 10}, ""))
	if _, err := Load([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"not JSON", `{"version"`, `{{`, "invalid character"},
		{"not UTF-8", "Ab", "A\xff", "not UTF-8"},
		{"version", `"1.0"`, `"2.0"`, `version is "2.0"; allowed: "1.0"`},
		{"no model", `"model"`, `"m"`, "model is missing"},
		{"model type", `"Unigram"`, `"BPE"`, `model.type is "BPE"`},
		{"no unk", `"unk_id": 2,`, ``, "model.unk_id is missing"},
		{"unk", `"unk_id": 2`, `"unk_id": 7`, "model.unk_id is 7; allowed: 0 to 6"},
		{"piece", `["a", -1e0]`, `["a"]`, "allowed: [text, score]"},
		{"score", `-1e0`, `1e999`, "the score 1e999"},
		{"long piece", `"a"`, `"` + strings.Repeat("a", pieceBytesMax+1) + `"`, "a piece of 4097"},
		{"charsmap", `"precompiled_charsmap": "`, `"precompiled_charsmap": "!`, "illegal base64"},
		{"short charsmap", `BAAAAAAEAAA=`, `BAAA`, "shorter than"},
		{"cut charsmap", `BAAAAAAEAAA=`, `CAAAAAAEAAA=`, "trie of 8 bytes"},
		{"normalizer", `"Strip"`, `"NFKC"`, `normalizer: type is "NFKC"`},
		{"regex", ` {2,}`, `\\s+`, `allowed: one without "\\"`},
		{"empty match", ` {2,}`, ` *`, "never matches empty text"},
		{"no pattern", `"Regex"`, `"Other"`, "needs one of"},
		{"pre-tokenizer", `"WhitespaceSplit"`, `"ByteLevel"`, `pre_tokenizer: type is "ByteLevel"`},
		{"mark", `"replacement": "▁"`, `"replacement": "▁▁"`, "allowed: one character"},
		{"scheme", `"add_prefix_space": true`, `"prepend_scheme": "last"`, "prepend_scheme"},
		{"schemes differ", `"add_prefix_space": true`,
			`"add_prefix_space": false, "prepend_scheme": "first"`, "allowed: never"},
		{"two marks", `"WhitespaceSplit"`, `"Metaspace", "replacement": "_"`, "2 Metaspace"},
		{"post-processor", `"TemplateProcessing"`, `"Bert"`, `post_processor: type is "Bert"`},
		{"no sequence", `{"Sequence": {"id": "A"}},`, ``, "single lacks sequence A"},
		{"two sequences", `"single": [`, `"single": [{"Sequence": {"id": "A"}},`, "once"},
		{"unknown special", `{"</s>": {"id"`, `{"x": {"id"`, `lacks "</s>"`},
		{"special id", `"ids": [1]`, `"ids": [8]`, "has the id 8; allowed: 0 to 7"},
		{"added token", `"Ab"`, `"  "`, ""},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: nothing replaced", c.name)
		}
		_, err := Load([]byte(bad))
		if c.want == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.HasPrefix(err.Error(), "cannot load tokenizer.json: ") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestLoadDepth(t *testing.T) {
	deep := strings.Repeat(`{"type":"Sequence","normalizers":[`, 9) + "null" +
		strings.Repeat("]}", 9)
	if _, err := parseNormalizers(json.RawMessage(deep), 0); err == nil {
		t.Error("nine Sequences inside each other are taken")
	}
}

func TestAddedTokenSameNormalForm(t *testing.T) {
	m := newUnigram([]piece{{"a", 0}}, 0, false)
	tokens := []addedToken{{Content: "x", Normalized: true}, {Content: "x ", Normalized: true}}
	if _, err := newAddedTokens(tokens, m, strip{right: true}, 1); err == nil {
		t.Error("two tokens with one normal form are taken")
	}
	tokens = []addedToken{{Content: " ", Normalized: true}}
	if _, err := newAddedTokens(tokens, m, strip{right: true}, 1); err == nil {
		t.Error("a token that normalizes to nothing is taken")
	}
}

func TestParseScore(t *testing.T) {
	type line struct{ Text, Bits string }
	eachLine(t, "testdata/scores.jsonl", func(l line) {
		bits, err := strconv.ParseUint(l.Bits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := math.Float64frombits(bits)
		if got, err := parseScore(l.Text); err != nil || got != want {
			t.Errorf("parseScore(%s) = %v, %v, want %v", l.Text, got, err, want)
		}
	})
	for _, text := range []string{"1e309", "-1e400", "1e99999999999999999999"} {
		if got, err := parseScore(text); err == nil {
			t.Errorf("parseScore(%s) = %v, want an error", text, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(small, wild)), "a  b<pad>Ab A")
	f.Add([]byte(fmt.Sprintf(small, `{"type": "Strip", "strip_left": true}`)), " é a")
	f.Add([]byte(`{"model": {"unk_id": 0, "vocab": [["", 1e308], ["x", -1e308]]}}`), "xxx")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := Load(data)
		if err != nil {
			return
		}
		checkEncode(t, tok, text, 16)
	})
}

// doublings is a Sequence of n stages that write each "a" twice, or of n such Sequences.
func doublings(n int, stage string) string {
	return `{"type": "Sequence", "normalizers": [` + strings.Repeat(stage+", ", n-1) + stage + `]}`
}

const twice = `{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}`

// TestNormalizersThatGrowTheText are refused, or the text is cut, before they fill the memory.
func TestNormalizersThatGrowTheText(t *testing.T) {
	var all map[string]any
	if err := json.Unmarshal([]byte(fmt.Sprintf(small, twice)), &all); err != nil {
		t.Fatal(err)
	}
	load := func(normalizer string) (*Tokenizer, error) {
		all["normalizer"] = json.RawMessage(normalizer)
		data, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return Load(data)
	}
	for _, many := range []string{doublings(256, twice), doublings(4, doublings(5, twice))} {
		if _, err := load(many); err == nil || !strings.Contains(err.Error(), "stages") {
			t.Errorf("hundreds of doublings: %v", err)
		}
	}
	delete(all, "added_tokens")
	tok, err := load(doublings(5, twice))
	if err != nil {
		t.Fatal(err)
	}
	ids, cut := tok.Encode(strings.Repeat("a", 32<<10), 512)
	if len(ids) != 512 || !cut {
		t.Errorf("%d ids, cut: %v", len(ids), cut)
	}
	s := tok.normalizer.normalize(span{text: strings.Repeat("a", 32<<10)})
	if len(s.text) > textBytesMax {
		t.Errorf("a text of %d bytes", len(s.text))
	}

	all["added_tokens"] = []any{map[string]any{"content": "aaaa", "normalized": true}}
	if _, err := load(doublings(12, twice)); err == nil ||
		!strings.Contains(err.Error(), "normalizes to more than") {
		t.Errorf("an added token that grows: %v", err)
	}
}
