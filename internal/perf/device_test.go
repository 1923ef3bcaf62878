package perf

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// TestDevicesAreRead reads the files that come with the program, and writes them again.
func TestDevicesAreRead(t *testing.T) {
	names := map[string]bool{}
	for _, d := range devices() {
		for _, name := range append([]string{d.Name}, d.Aliases...) {
			if names[plainly(name)] {
				t.Errorf("%q is the name of two devices", name)
			}
			names[plainly(name)] = true
		}

		var text bytes.Buffer
		if err := d.Write(&text); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&text)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Errorf("%s becomes %+v, %v", d.Name, again, err)
		}
	}
	if len(Devices()) < 20 || len(Profiles()) < 5 {
		t.Errorf("devices %v, profiles %v", Devices(), Profiles())
	}
}

// TestFind finds devices by what people and drivers call them.
func TestFind(t *testing.T) {
	for name, want := range map[string]string{"h100": "H100", "h100-sxm": "H100", "4090": "RTX-4090",
		"NVIDIA GeForce RTX 4090": "RTX-4090", "a100 80": "A100", "cpu": "cpu"} {
		if d, err := Find(name); err != nil || d.Name != want {
			t.Errorf("Find(%q): %q, %v; want %q", name, d.Name, err, want)
		}
	}
	if _, err := Find("H300"); err == nil || !strings.Contains(err.Error(), "allowed: A10, A100") {
		t.Error(err)
	}
	if _, err := FindProfile("comfy"); err == nil || !strings.Contains(err.Error(), "longtake, ") {
		t.Error(err)
	}
}

// valid is a device's file.
const valid = `name: X1
architecture: hopper
source: "measured: on a desk"
memory-gib: 80
dense-tflops: {bf16: 100}
bandwidth-gb: 1000
link: pcie
link-gb: 32
host-gb: 32
watts: 300
`

// TestFilesAreReadStrictly changes a file in ways that it must not be in.
func TestFilesAreReadStrictly(t *testing.T) {
	if d, err := Read(strings.NewReader(valid)); err != nil || d.Peak["bf16"] != 100e12 {
		t.Fatal(d, err)
	}
	for _, c := range []struct{ old, now, want string }{
		{"watts: 300", "wattage: 300", `unknown key "wattage"; allowed: name, `},
		{"watts: 300", "watts: 300\nwatts: 400", "already defined"},
		{"watts: 300", "watts: -1", "watts is -1; allowed: above 0"},
		{"watts: 300", "watts: .nan", "watts is NaN"},
		{"bf16: 100", "bf16: .inf", "dense-tflops of bf16 is +Inf"},
		{"bf16: 100", "bf17: 100", `dense-tflops of "bf17"; allowed: fp32`},
		{"{bf16: 100}", "{}", "allowed: one peak at least"},
		{"link: pcie", "link: rope", `link is "rope"; allowed: nvlink, pcie`},
		{"measured: on a desk", "a friend", "allowed: \"datasheet: ...\""},
		{"name: X1", "name: ''", "allowed: 1 to 64 bytes"},
		{"watts: 300", "watts: 300\nunits: -1", "units"},
		{"watts: 300", "watts: 300\nefficiency: {bf16: {linear: 2}}", "allowed: above 0 to 1 each"},
		{"watts: 300", "watts: 300\ncores: -1", "cores is -1"},
		{"watts: 300", "watts: 300\nshared-efficiency: {bf16: {linear: 1, attention: 1, " +
			"convolution: 1, memory: 1}}", "at least 1 with shared-efficiency"},
		{"watts: 300", "watts: 300\noverhead: {step-seconds: -1}", "allowed: 0 to 3600 each"},
		{"watts: 300", "watts: 300\n---\nname: Y", "more than one document"},
		{"watts: 300", "watts: 300\n#" + strings.Repeat("x", FileMax), "allowed: up to 65536"},
	} {
		_, err := Read(strings.NewReader(strings.Replace(valid, c.old, c.now, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v; want %q", c.now, err, c.want)
		}
	}
}

// FuzzRead reads any bytes: what is accepted is written, and read as the same again.
func FuzzRead(f *testing.F) {
	f.Add(valid)
	f.Add(strings.Replace(valid, "watts", "efficiency: {bf16: {linear: 0.5, attention: 1.5, "+
		"convolution: 1, memory: 1, from: x}}\nwatts", 1))
	f.Add(strings.Replace(valid, "watts", "cores: 2\noverhead: {step-seconds: 1e-4}\n"+
		"shared-efficiency: {bf16: {linear: 0.5, attention: 1, convolution: 1, memory: 1, "+
		"softmax-operations: 9, layer-seconds: 1e-5}}\nwatts", 1))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := d.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out)
		if err != nil || again.Name != d.Name || len(again.Peak) != len(d.Peak) {
			t.Fatalf("%q becomes %+v, %v", text, again, err)
		}
	})
}

// FuzzReadProfile reads any bytes.
func FuzzReadProfile(f *testing.F) {
	for _, text := range embedded(profileFiles, "profiles") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ReadProfile(strings.NewReader(text)); err == nil && p.check() != nil {
			t.Fatalf("%+v", p)
		}
	})
}

// TestMeasuredDevices makes a device of what a benchmark measured.
func TestMeasuredDevices(t *testing.T) {
	rows := []Measured{{"gemm 8x8x8", "bf16", 900e12}, {"gemm 8x8x8 bias", "bf16", 600e12},
		{"gemm 8x8x8 bias+gelu", "bf16", 800e12}, {"attention 10x1x1", "bf16", 500e12},
		{"attention 99x1x1", "bf16", 593.64e12}, {"conv a", "fp32", 200e12}, {"conv b", "bf16", 900e12}}
	d, err := device(t, "H100").With(rows, "longtake bench gpu on a desk")
	if err != nil {
		t.Fatal(err)
	}
	e := d.Efficiency["bf16"]
	e.Linear, e.Attention, e.Convolution = round(e.Linear), round(e.Attention), round(e.Convolution)
	want := Efficiency{Linear: 0.693, Attention: 0.6, Convolution: 0.606, Memory: 0.8,
		From: "longtake bench gpu on a desk"}
	if e != want || !strings.HasPrefix(d.Source, "measured: ") {
		t.Errorf("%+v, %q; want %+v", e, d.Source, want)
	}

	// This program's predictions go by it, and those of others do not.
	if got := profile(t, "").Efficiency(d, "bf16"); round(got.Attention) != 0.6 {
		t.Errorf("%+v", got)
	}
	if got := profile(t, "xdit").Efficiency(d, "bf16"); got.From == want.From {
		t.Errorf("%+v", got)
	}
	for _, less := range [][]Measured{rows[:3], rows[3:]} {
		if _, err := device(t, "H100").With(less, "x"); err == nil {
			t.Errorf("a device of %v", less)
		}
	}
}

// round keeps three digits behind the point.
func round(v float64) float64 { return float64(int(v*1000+0.5)) / 1000 }
