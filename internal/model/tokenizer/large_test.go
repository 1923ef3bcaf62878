package tokenizer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// large is a tokenizer.json of as many pieces as UMT5-XXL's, indented as it is published.
func large() []byte {
	const pieces = 256_300
	var b strings.Builder
	b.WriteString(`{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [`)
	for i := range 300 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n    {\n      \"id\": %d,\n      \"content\": \"<extra_id_%d>\",\n      "+
			"\"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n      "+
			"\"normalized\": false,\n      \"special\": true\n    }", pieces-1-i, i)
	}
	b.WriteString("\n  ],\n  \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"Metaspace\", " +
		"\"replacement\": \"▁\", \"prepend_scheme\": \"always\", \"split\": true},\n" +
		"  \"model\": {\n    \"type\": \"Unigram\",\n    \"unk_id\": 0,\n    \"vocab\": [")
	letters := []rune("abcdefghijklmnopqrstuvwxyzäöüéèабвгдежзиклмнопрстуфхцчшщыьэюя" +
		"的一是不了人我在有他这为之大来以个中上们")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range pieces {
		if i > 0 {
			b.WriteString(",")
		}
		text := "▁"
		if i%2 == 0 {
			text = ""
		}
		for range 1 + r.IntN(9) {
			text += string(letters[r.IntN(len(letters))])
		}
		if i < 300 {
			text = fmt.Sprintf("<extra_id_%d>", i)
		}
		fmt.Fprintf(&b, "\n      [\n        \"%s\",\n        %.17g\n      ]", text, -20*r.Float64())
	}
	b.WriteString("\n    ],\n    \"byte_fallback\": false\n  }\n}\n")
	return []byte(b.String())
}

func BenchmarkLoadLarge(b *testing.B) {
	data := large()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Load(data); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzVocabulary compares the reading of a vocabulary by hand with encoding/json's.
func FuzzVocabulary(f *testing.F) {
	for _, s := range []string{`[["a", -1.5], ["\u2581b\"\\", 2E+1]]`, "[ ]", "null", `{"a": 1}`,
		`[["a"]]`, `[["a", 1, 2]]`, `[["a", "1"]]`, `[["\ud83d", 0], [1, "x"]]`, "[[\"a\",\n\t1]\n]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) || !utf8.Valid(data) {
			return
		}
		var got pieceList
		err := json.Unmarshal(data, &got)
		var want [][]json.RawMessage
		if json.Unmarshal(data, &want) != nil || err != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%d pieces of %d in %q", len(got), len(want), data)
		}
		for i, pair := range want {
			var text string
			if len(pair) != 2 || json.Unmarshal(pair[0], &text) != nil || got[i].text != text {
				t.Errorf("piece %d of %q is %q", i, data, got[i].text)
			}
			if score, err := parseScore(string(pair[1])); err != nil || score != got[i].score {
				t.Errorf("piece %d of %q has the score %v", i, data, got[i].score)
			}
		}
	})
}
