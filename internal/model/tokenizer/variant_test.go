package tokenizer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// variant is the demo tokenizer with some keys replaced, and what the reference gives with it.
// "@demo" in a patch stands for the demo's normalizer.
type variant struct {
	Name  string
	Patch map[string]json.RawMessage
	Cases []struct {
		Text      string
		Max       int
		IDs       []int32
		Truncated bool
	}
}

// patched is the demo's tokenizer.json with the keys of patch replaced, those of model merged.
func patched(tb testing.TB, patch map[string]json.RawMessage) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.FromSlash(demoFile))
	if err != nil {
		tb.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		tb.Fatal(err)
	}
	normalizer := string(all["normalizer"])
	for key, value := range patch {
		if key == "model" {
			value = merge(tb, all[key], value)
		}
		all[key] = json.RawMessage(strings.ReplaceAll(string(value), `"@demo"`, normalizer))
	}
	data, err = json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func merge(tb testing.TB, base, over json.RawMessage) json.RawMessage {
	tb.Helper()
	var a, b map[string]json.RawMessage
	if json.Unmarshal(base, &a) != nil || json.Unmarshal(over, &b) != nil {
		tb.Fatal("cannot merge models")
	}
	maps.Copy(a, b)
	out, err := json.Marshal(a)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestVariants(t *testing.T) {
	eachLine(t, "testdata/variants.jsonl", func(v variant) {
		tok, err := Load(patched(t, v.Patch))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			return
		}
		for _, c := range v.Cases {
			ids, truncated := tok.Encode(c.Text, c.Max)
			if !slices.Equal(ids, c.IDs) || truncated != c.Truncated {
				t.Errorf("%s: Encode(%+q, %d) = %v, %v, want %v, %v",
					v.Name, c.Text, c.Max, ids, truncated, c.IDs, c.Truncated)
			}
		}
	})
}
