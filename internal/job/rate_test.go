package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestRates(t *testing.T) {
	for text, want := range map[string]string{
		"16": "16/1 16", "24.0": "24/1 24", "24000/1001": "24000/1001 23.976",
		"23.976": "24000/1001 23.976", "23.976023976023978": "24000/1001 23.976",
		"23.98": "1199/50 23.98", "29.97": "30000/1001 29.97", "59.94": "60000/1001 59.94",
		"119.88": "120000/1001 119.88", "12.5": "25/2 12.5", "25/2": "25/2 12.5",
		"14.985": "15000/1001 14.985", "33.333333333333336": "100/3 33.333", "100/3": "100/3 33.333",
		"12.345": "2469/200 12.345", "24000000/1001000": "24000/1001 23.976", "1": "1/1 1",
	} {
		r, err := ParseRate(text)
		n, d := r.Fraction()
		if got := fmt.Sprintf("%d/%d %s", n, d, r); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "fast", "24/0", "1e2", "0x18", "24/", "24/1.5.2", "NaN", "Inf",
		"1_000", "24000 / 1001 / 2"} {
		if r, err := ParseRate(text); err == nil {
			t.Errorf("%q is read as %v", text, r)
		}
	}
	for _, r := range []Rate{0, -1, 1e9} {
		if n, d := r.Fraction(); n != 0 || d != 0 {
			t.Errorf("%v: %d/%d", float64(r), n, d)
		}
	}
}

// TestRatesSurviveJSON wants old records, whose rates are integers, to read and write the same, and
// every fraction to come back.
func TestRatesSurviveJSON(t *testing.T) {
	b, err := json.Marshal(Spec{FPS: 16})
	var s Spec
	if err != nil || json.Unmarshal(b, &s) != nil || s.FPS != 16 ||
		!json.Valid(b) || !bytes.Contains(b, []byte(`"fps":16,`)) {
		t.Errorf("%s: %v, %v", b, s.FPS, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.IntRange(1, rateBase).Draw(t, "seconds")
		n := rapid.IntRange(d, FPSLimit*d).Draw(t, "frames")
		r := Rate(float64(n) / float64(d)).near()
		b, err := json.Marshal(r)
		var again Rate
		if err != nil || json.Unmarshal(b, &again) != nil || again != r || again.near() != r {
			t.Fatalf("%d/%d: %s, %v", n, d, b, err)
		}
		if apart := float64(r)/(float64(n)/float64(d)) - 1; apart > televised || apart < -televised {
			t.Fatalf("%d/%d became %v", n, d, float64(r))
		}
	})
}
