package price

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func decimal(text string) Decimal {
	d, err := ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

// sheet has prices that are easy to compute with.
func sheet() *Sheet {
	flat := decimal("0.25")
	return &Sheet{Currency: "EUR", Hash: "abc", Minimum: decimal("0.01"),
		Devices: []DevicePrice{{"*H200*", decimal("0.0014")}, {"cpu*", decimal("0.00003")}},
		Models: []ModelPrice{{Match: "big", Factor: decimal("1.5")},
			{Match: "flat-*", Flat: &flat}},
		Priorities: []PriorityPrice{{1, 100, decimal("25")}, {-100, -1, decimal("-20")}},
		Plans: []Plan{{Name: "pro", Included: time.Hour, Keys: []string{"key_1"}},
			{Name: "team", Included: 2 * time.Hour, Teams: []string{"t"}}}}
}

func TestBills(t *testing.T) {
	s := sheet()
	h200 := func(seconds float64) []Use {
		return []Use{{"NVIDIA H200", time.Duration(seconds * 1e9)}}
	}
	for name, c := range map[string]struct {
		j    Job
		want string
	}{
		"seconds":           {Job{Model: "m", Devices: h200(100)}, "0.14"},
		"a factor":          {Job{Model: "big", Devices: h200(100)}, "0.21"},
		"a surcharge":       {Job{Model: "m", Priority: 1, Devices: h200(100)}, "0.175"},
		"a discount":        {Job{Model: "m", Priority: -5, Devices: h200(100)}, "0.112"},
		"flat":              {Job{Model: "flat-1", Devices: h200(100)}, "0.25"},
		"flat, a discount":  {Job{Model: "flat-1", Priority: -5, Devices: h200(100)}, "0.20"},
		"the minimum":       {Job{Model: "m", Devices: h200(1)}, "0.01"},
		"nothing":           {Job{Model: "m"}, "0.00"},
		"no time":           {Job{Model: "flat-1", Devices: h200(0)}, "0.00"},
		"an unknown device": {Job{Model: "m", Devices: []Use{{"abacus", time.Hour}}}, "0.01"},
		"two kinds": {Job{Model: "m", Devices: append(h200(100), Use{"CPU: 2 threads", time.Hour})},
			"0.248"},
		"rounded half up": {Job{Model: "m", Devices: h200(100.0003571428)}, "0.14"},
		"rounded up":      {Job{Model: "m", Devices: h200(100.000358)}, "0.140001"},
		"covered": {Job{Model: "m", Devices: h200(100), Plan: &s.Plans[0], Left: time.Hour},
			"0.00"},
		"covered in part": {Job{Model: "m", Devices: h200(100), Plan: &s.Plans[0],
			Left: 50 * time.Second}, "0.07"},
		"used up": {Job{Model: "m", Devices: h200(100), Plan: &s.Plans[0], Left: -time.Second},
			"0.14"},
	} {
		b := s.Bill(c.j)
		if got := b.Amount.String(); got != c.want {
			t.Errorf("%s: %s; want %s (%+v)", name, got, c.want, b)
		}
		if err := b.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	b := s.Bill(Job{Model: "m", Devices: h200(100), Plan: &s.Plans[0], Left: time.Minute})
	if b.Included() != time.Minute || b.Plan != "pro" || b.Time() != 100*time.Second {
		t.Errorf("%+v; want a minute of the plan", b)
	}
}

// TestBillsAddUp: whatever the times, the lines of a bill come to its amount, and a bill is never
// negative.
func TestBillsAddUp(t *testing.T) {
	s := sheet()
	rapid.Check(t, func(t *rapid.T) {
		j := Job{Model: rapid.SampledFrom([]string{"m", "big", "flat-x"}).Draw(t, "model"),
			Priority: rapid.IntRange(-100, 100).Draw(t, "priority")}
		for _, d := range []string{"NVIDIA H200", "abacus", "cpu: 2 threads"} {
			j.Devices = append(j.Devices,
				Use{d, time.Duration(rapid.Int64Range(0, 1e16).Draw(t, d))})
		}
		if rapid.Bool().Draw(t, "plan") {
			j.Plan, j.Left = &s.Plans[0], time.Duration(rapid.Int64Range(-1e12, 1e16).Draw(t, "left"))
		}
		if b := s.Bill(j); b.Check() != nil {
			t.Fatalf("%+v: %v", b, b.Check())
		}
	})
}

func TestSubscribers(t *testing.T) {
	s := sheet()
	for _, c := range []struct {
		who  Subject
		plan string
		team bool
	}{{Subject{Owner: "key_1", Team: "t"}, "pro", false},
		{Subject{Owner: "key_2", Team: "t"}, "team", true},
		{Subject{Name: "key_1"}, "pro", false}, {Subject{}, "", false}} {
		if got, _ := s.Subscriber(c.who); got.Plan.Name != c.plan || got.Team != c.team {
			t.Errorf("%+v: %+v; want %q", c.who, got, c.plan)
		}
	}
}

func TestMicro(t *testing.T) {
	for n, want := range map[Micro]string{0: "0.00", 1: "0.000001", 1_500_000: "1.50",
		123_456_789: "123.456789", -250_000: "-0.25", 100: "0.0001", Most: "1000000000.00"} {
		if got := n.String(); got != want {
			t.Errorf("%d: %s; want %s", int64(n), got, want)
		}
		data, err := json.Marshal(n)
		var back Micro
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || back != n {
			t.Errorf("%s came back as %v, %v", data, back, err)
		}
	}
	for _, bad := range []string{"", "1e3", "0x1", ".5", "1.", "1.0000001", "1/2", "٣", "+1", "--1"} {
		if err := new(Micro).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for an amount", bad)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{{"*", "", true}, {"*H200*", "NVIDIA H200", true}, {"cpu*", "cpu: 2 threads", true},
		{"cpu", "cpu: 2", false}, {"a*b*c", "aXbYbZc", true}, {"a*b", "abc", false},
		{"nvidia*", "NVIDIA H100", true}, {"", "", true}, {"", "x", false}} {
		if got := Matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q of %q: %v", c.pattern, c.text, got)
		}
	}
}
