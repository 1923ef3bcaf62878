package job

import (
	"encoding/json"
	"testing"
)

// TestRankStatsAreKept: what a result keeps of its ranks comes back, within the limits of extras.
func TestRankStatsAreKept(t *testing.T) {
	want := RankStats{Communication: 0.25, Compute: SpreadOf([]float64{3, 1, 2, 7}),
		Wait: Spread{0, 1, 6}, Sent: Spread{1e6, 2e6, 3e6}, Slowest: 3, SlowestSteps: 0.75,
		SlowestStep: 1.5}
	text, err := json.Marshal(Result{Extra: want.Extra()})
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	got, ok := r.Ranks()
	if !ok || got != want || len(r.Extra) > extraLimit || got.Compute != (Spread{1, 2, 7}) ||
		got.Straggling() != 3.5 {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := (Result{}).Ranks(); ok {
		t.Error("a result without extras tells of its ranks")
	}
	r.Extra[extraSlowest] = -1
	if s, _ := r.Ranks(); s.Slowest != 0 || (RankStats{}).Straggling() != 1 {
		t.Errorf("%+v", s)
	}
}
