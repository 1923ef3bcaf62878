package pricefile

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/price"
)

// TestTheExampleSheet reads the sheet that is shipped, and applies it as its comments say.
func TestTheExampleSheet(t *testing.T) {
	s, err := Read("../../configs/pricing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	who, ok := s.Subscriber(price.Subject{Team: "trailers"})
	if !ok || who.Plan.Included != 100*time.Hour || !who.Team {
		t.Errorf("the team's plan is %+v", who)
	}
	b := s.Bill(price.Job{Model: "Wan2.2-T2V-A14B", Priority: 5,
		Devices: []price.Use{{Device: "NVIDIA H200", Time: 1000 * time.Second}}})
	if want := "2.10"; b.Amount.String() != want { // 1000 x 0.0014 x 1.2 x 1.25
		t.Errorf("a clip costs %v; want %s", b.Amount, want)
	}
}

func TestMistakesInSheets(t *testing.T) {
	const devices = "currency: EUR\ndevices: [{match: \"*\", per-second: 1}]\n"
	wrong := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v; want %q", text, err, want)
		}
	}

	wrong("", "it is empty")
	wrong("- a", "line 1: no map")
	wrong("currency: EUR", "devices are missing")
	wrong("currency: eur\ndevices: [{match: x, per-second: 1}]", "currency is \"eur\"; allowed")
	wrong("currency: EUR\ndevices: [{match: x}]", "without match or per-second")
	wrong(devices+"minimun: 1", `line 3: unknown key "minimun"; did you mean "minimum"?`)
	wrong(devices+"currency: USD", "line 3: currency is given twice")
	wrong(devices+"minimum: 1e3", `line 3: minimum is "1e3"; allowed: 0 to 1000000`)
	wrong(devices+"minimum: -1", `line 3: minimum is "-1"`)
	wrong(devices+"models: [{match: a}]", "one of factor and flat")
	wrong(devices+"models: 3", "models is no list")
	wrong(devices+"models: [{match: a, factor: 1, flat: 2}]", "one of factor and flat")
	wrong(devices+"priorities: [{from: 1, percent: -101}]", "allowed: -100 to")
	wrong(devices+"plans: [{included-seconds: 3}]", "a plan without a name")
	wrong(devices+"plans: [{name: a, included-seconds: 1.5}]", `included-seconds is "1.5"`)
	wrong(devices+"plans: [{name: a, keys: [k]}, {name: b, keys: [k]}]", `in plans "a" and "b"`)
	wrong(devices+"priorities: [{to: 5, percent: 1}, {from: 5, percent: 2}]",
		"are in -100 to 5")
	wrong("\t", "cannot read it")
	wrong(strings.Repeat("#", FileMax+1), "over 1048576 bytes")
}

// FuzzSheet reads any bytes without a panic, and what it takes has bills that add up.
func FuzzSheet(f *testing.F) {
	f.Add([]byte("currency: EUR\ndevices: [{match: \"*\", per-second: 1}]\nminimum: 0.5\n"))
	f.Add([]byte("currency: X\ndevices: &a [{match: a*, per-second: 0.1}]\nmodels: *a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		b := s.Bill(price.Job{Model: "m", Devices: []price.Use{{Device: "a", Time: time.Hour},
			{Device: "b", Time: time.Millisecond}}})
		if err := b.Check(); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	})
}
