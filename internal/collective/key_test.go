package collective_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/collective"
)

// ordered is what carries a key.
type ordered struct {
	Key collective.Key `json:"key,omitzero"`
}

// TestKey reads keys back as they were written, nothing else, and prints none.
func TestKey(t *testing.T) {
	for _, want := range []ordered{{}, {collective.Key{31: 1}}} {
		text, err := json.Marshal(want)
		var got ordered
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got != want || want.Key.IsZero() != (string(text) == "{}") {
			t.Errorf("%s, %v", text, err)
		}
	}
	for _, bad := range []string{`""`, `"AAAA"`, `"` + strings.Repeat("A", 44) + `"`, `"!"`, `5`} {
		var o ordered
		if err := json.Unmarshal([]byte(`{"key":`+bad+`}`), &o); err == nil {
			t.Errorf("%s was taken as a key", bad)
		}
	}
	k := collective.Key{'s'}
	text := fmt.Sprintf("%v %s %x %d %+v %#v", k, k, k, k, ordered{k}, &ordered{k})
	if strings.Contains(text, "73") || strings.Contains(text, "115") ||
		strings.Count(text, "a key") != 6 {
		t.Errorf("a key is printed as %s", text)
	}
}
