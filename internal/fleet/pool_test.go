package fleet

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	ib := Link{0.8 * 200e9 / 8, infiniband}
	for text, want := range map[string]Pool{
		"H100":   {Groups: []Group{{Hosts: 1, Devices: 1, Device: "H100"}}},
		"8xH100": {Groups: []Group{{Hosts: 1, Devices: 8, Device: "H100"}}},
		"4x(8xH200)+ib": {Groups: []Group{{Hosts: 4, Devices: 8, Device: "H200"}},
			Network: ib},
		"2x(H100)+8xib400": {Groups: []Group{{Hosts: 2, Devices: 1, Device: "H100"}},
			Network: Link{0.8 * 8 * 400e9 / 8, infiniband}},
		"100xcpu": {Groups: []Group{{Hosts: 100, Devices: 1, Device: "cpu"}}},
		"2x(8xcpu)+10g@1ms": {Groups: []Group{{Hosts: 2, Devices: 8, Device: "cpu"}},
			Network: Link{1e9, 1e-3}},
		"8 X H100": {Groups: []Group{{Hosts: 1, Devices: 8, Device: "H100"}}},
		"2 * (8×RTX PRO 6000) + ib": {Groups: []Group{{Hosts: 2, Devices: 8,
			Device: "RTX PRO 6000"}}, Network: ib},
		"8x./my-x.yaml": {Groups: []Group{{Hosts: 1, Devices: 8, Device: "./my-x.yaml"}}},
		"2x(8xH100)+1x(4xL40S)+12.5GB/s": {Groups: []Group{{Hosts: 2, Devices: 8, Device: "H100"},
			{Hosts: 1, Devices: 4, Device: "L40S"}}, Network: Link{12.5e9, ethernet}},
		"2x(4xRTX-4090)+25g+pcie4": {Groups: []Group{{Hosts: 2, Devices: 4, Device: "RTX-4090"}},
			Network: Link{2.5e9, ethernet}, Inside: Link{0.8 * 32e9, slots}},
	} {
		want.Name = text
		if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "such as 8xH100",
		"0xH100":                   "it has 1 hosts of 0 devices",
		"5000xcpu":                 "it has 5000 hosts",
		"600x(8xH100)":             "4800 devices; allowed: up to 4096",
		"8xH100+ibb":               "link is \"ibb\"; allowed: ib, ib200",
		"8xH100+ib+ib400":          "one link between hosts",
		"ib":                       "hosts, then up to one link",
		"8xH100+ib+4xL40S":         "before links hosts",
		"4x(8xH200":                "hosts such as 8xH100",
		"4x(2x(8xH200))":           "hosts such as 8xH100",
		"8xH100+0GB/s":             "link is",
		"8xH100+1e3GB/s":           "link is",
		"8xH100+10g@-1s":           "link is",
		"8xH100+9999g":             "link is",
		"9999999xH100":             "hosts such as",
		strings.Repeat("x", 2000):  "up to 1024 bytes",
		"2000xH100":                "2000 devices",
		strings.Repeat("1xA+", 70): "hosts",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "allowed: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

const ours = `name: ours
inside: pcie5
network: 100g
racks: 25g
currency: EUR
hosts:
  - {count: 2, devices: 8xH100, rack: a, price-per-hour: 24.50}
  - {devices: L40S, rack: b, price-per-hour: 0}
`

func TestReadFile(t *testing.T) {
	p, err := ReadFile([]byte(ours))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "ours" || p.Size() != 17 || p.HostCount() != 3 || p.RackCount() != 2 ||
		p.Network.Bytes != 10e9 || p.Racks.Bytes != 2.5e9 || p.Inside.Bytes != 51.2e9 ||
		p.Groups[0].Price.String() != "24.5" || p.String() != "2 hosts of 8 H100 and 1 L40S" ||
		!reflect.DeepEqual(p.Kinds(), []string{"H100", "L40S"}) {
		t.Errorf("%+v", p)
	}
	slots := p.Slots()
	if len(slots) != 17 || slots[7] != (Slot{0, "h0", "a"}) || slots[8] != (Slot{0, "h1", "a"}) ||
		slots[16] != (Slot{1, "h2", "b"}) {
		t.Errorf("%+v", slots)
	}
	if q := p.Faster(2).Larger(); q.Network.Bytes != 20e9 || q.Size() != 25 || p.Size() != 17 {
		t.Errorf("%+v", q)
	}
}

func TestReadFileMistakes(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"network", "netwrok", `line 3: unknown key "netwrok"; allowed: name, hosts`},
		{"rack: a", "shelf: a", `line 7: unknown key "shelf"; allowed: count, devices`},
		{"pcie5", "ib", "inside is"}, {"100g", "pcie4", "network is"},
		{"100g", "fast", "network: link"},
		{"EUR", "euro", "capital letters"}, {"24.50", "1e3", "item 1: price-per-hour is"},
		{", price-per-hour: 0", "", "item 2: price-per-hour goes with currency"},
		{"currency: EUR\n", "", "goes with currency"}, {"count: 2", "count: 0", "it has 0 hosts"},
		{"8xH100", "8x", "devices is"}, {"rack: b", "rack: a", "one rack"},
		{"rack: b", "rack: 'a b'", "rack: label"}, {"name: ours", "name: ours\nname: x", "already"},
		{"name: ours", "---\n---", "allowed"}, {ours, "", "it is empty"}, {ours, "hosts: []", "kinds"},
	} {
		_, err := ReadFile([]byte(strings.Replace(ours, c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s for %s: %v; want %q", c.to, c.from, err, c.want)
		}
	}
}

// FuzzParse and FuzzReadFile: whatever is read keeps to the limits.
func FuzzParse(f *testing.F) {
	f.Add("2x(8xH100)+1x(4x./l.yaml)+8xib400@5us+pcie4")
	f.Fuzz(func(t *testing.T, text string) { holds(t)(Parse(text)) })
}

func FuzzReadFile(f *testing.F) {
	f.Add([]byte(ours))
	f.Fuzz(func(t *testing.T, text []byte) { holds(t)(ReadFile(text)) })
}

// holds checks a pool that was read, or the error.
func holds(t *testing.T) func(Pool, error) {
	return func(p Pool, err error) {
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("a long error: %.3000s", err)
			}
			return
		}
		if n := p.Size(); n < 1 || n > DevicesMax || len(p.Slots()) != n || p.Check() != nil {
			t.Errorf("%d devices: %+v", n, p)
		}
		for _, l := range []Link{p.Inside, p.Network, p.Racks} {
			if !(l.Bytes >= 0 && l.Bytes <= rateMost && l.Latency >= 0 && l.Latency <= 10) {
				t.Errorf("link %+v", l)
			}
		}
	}
}
