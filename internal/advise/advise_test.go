package advise

import (
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/fleet"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/price"
)

// wan is a model as large as Wan's of 14 billion parameters, with memory as the real one.
func wan(heads, layers, ffn int) job.Model {
	gb := int64(1e9)
	return job.Model{Name: "wan", Heads: heads, HeadDim: 128, Layers: layers, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Cost: job.Cost{FFNDim: ffn, Decode: 3e9,
			Memory: job.Memory{Weights: map[string]int64{"bf16": 29 * gb}, PassToken: 1e5}}}
}

func clip(t *testing.T, m job.Model) Clip {
	t.Helper()
	how, err := perf.FindProfile("")
	if err != nil {
		t.Fatal(err)
	}
	return Clip{m, job.Spec{Width: 1280, Height: 720, Frames: 81, FPS: 16, Steps: 50, DType: "bf16",
		GuidanceScale: 5}, how}
}

func pool(t *testing.T, text string) Pool {
	t.Helper()
	f, err := fleet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := OfFleet(f, perf.Find, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// best returns the options of a clip on a pool by their meshes, and that of the least time.
func answers(t *testing.T, c Clip, p Pool, ranks int) (all map[string]Option, fastest Option) {
	t.Helper()
	options, err := Options(c, p, ranks)
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]Option{}
	for _, o := range options {
		all[o.Mesh.String()] = o
		if o.Fastest {
			fastest = o
		}
	}
	return all, fastest
}

func TestWhyOthersLose(t *testing.T) {
	big, small := wan(40, 40, 13824), wan(12, 30, 8960)
	for _, c := range []struct {
		m                   job.Model
		pool, chosen, other string
		why                 string
	}{
		{big, "8xH100", "cfg=2,ulysses=4", "cfg=1,ulysses=1", "is on 7 devices fewer"},
		{big, "2x(8xH100)+10g", "cfg=2,ulysses=8", "cfg=1,ulysses=16", "of a step for the network"},
		{small, "8xRTX-4090", "", "cfg=1,ulysses=8", "does not fit: needs "},
		{small, "8xA6000", "cfg=2,ulysses=4", "cfg=1,ulysses=8",
			"12 heads over 8 ranks: the busiest has 2"},
		{big, "4xH100+1GB/s+pcie3", "", "", ""},
	} {
		all, fastest := answers(t, clip(t, c.m), pool(t, c.pool), 0)
		if got := fastest.Mesh.String(); c.chosen != "" && got != c.chosen {
			t.Errorf("%s: %s is chosen; want %s", c.pool, got, c.chosen)
		}
		if o := all[c.other]; !strings.Contains(o.Why, c.why) {
			t.Errorf("%s: %s: %q; want %q", c.pool, c.other, o.Why, c.why)
		}
		for mesh, o := range all {
			if o.Fastest != (o.Why == "") || o.Fastest && !o.Fits {
				t.Errorf("%s: %s: %+v", c.pool, mesh, o)
			}
		}
	}
}

// TestSideBySide counts the clips that a pool makes at a time.
func TestSideBySide(t *testing.T) {
	c := clip(t, wan(40, 40, 13824))
	for _, x := range []struct {
		pool, mesh string
		copies     int
	}{
		{"8xH100", "cfg=2,ulysses=4", 1}, {"8xH100", "cfg=1,ulysses=3", 2},
		{"4x(8xH100)+ib", "cfg=1,ulysses=3", 8}, {"4x(8xH100)+ib", "cfg=2,ulysses=8", 2},
		{"3x(8xH100)+ib", "cfg=2,ulysses=8", 1}, {"2x(8xH100)+1x(4xH100)+ib", "cfg=2,ulysses=4", 2},
		{"2x(8xH100)+1x(4xA100)+ib", "cfg=1,ulysses=1", 20}, {"6xcpu", "cfg=2,ulysses=1", 3},
	} {
		p := pool(t, x.pool)
		all, _ := answers(t, c, p, 0)
		if o := all[x.mesh]; p.GPUs() && o.Copies != x.copies {
			t.Errorf("%s: %s: %d clips; want %d", x.pool, x.mesh, o.Copies, x.copies)
		}
	}

	// Devices of another kind take another time.
	mixed, _ := answers(t, c, pool(t, "1x(8xH100)+1x(4xA100)+ib"), 1)
	h, _ := answers(t, c, pool(t, "8xH100"), 1)
	a, _ := answers(t, c, pool(t, "4xA100"), 1)
	const one = "cfg=1,ulysses=1"
	if got, want := mixed[one].PerHour, h[one].PerHour+a[one].PerHour; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("%g clips an hour; want %g", got, want)
	}
}

func TestCosts(t *testing.T) {
	f, err := fleet.ReadFile([]byte("currency: EUR\n" +
		"hosts: [{devices: 8xH100, price-per-hour: 28.8}]"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := OfFleet(f, perf.Find, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, o := answers(t, clip(t, wan(40, 40, 13824)), p, 8)
	if want := o.DeviceSeconds * 0.001; math.Abs(float64(o.Cost)/1e6-want) > 1e-5*want {
		t.Errorf("%v EUR for %g device-seconds of 0.001 EUR", o.Cost, o.DeviceSeconds)
	}

	// A sheet goes before that, and knows devices by the names that drivers give them.
	per, _ := price.ParseDecimal("0.002")
	sheet := &price.Sheet{Currency: "USD", Devices: []price.DevicePrice{{Match: "NVIDIA H100*",
		PerSecond: per}}}
	if p, err = OfFleet(f, perf.Find, sheet); err != nil {
		t.Fatal(err)
	}
	_, o = answers(t, clip(t, wan(40, 40, 13824)), p, 8)
	if want := o.DeviceSeconds * 0.002; math.Abs(float64(o.Cost)/1e6-want) > 1e-5*want {
		t.Errorf("%v USD for %g device-seconds of 0.002 USD", o.Cost, o.DeviceSeconds)
	}
}

// TestIfs: a slow network that is twice as fast helps, and so does a host.
func TestIfs(t *testing.T) {
	c := clip(t, wan(40, 40, 13824))
	p := pool(t, "2x(4xH100)+25g")
	_, o := answers(t, c, p, 8)
	ifs, err := Ifs(c, p, o, func(f fleet.Pool) (Pool, error) { return OfFleet(f, perf.Find, nil) })
	if err != nil || len(ifs) != 2 || ifs[0].Fastest.Total >= o.Total || len(ifs[1].Change) == 0 {
		t.Errorf("%+v, %v", ifs, err)
	}
}

// TestNothing: a number that no mesh has, and clips that fit nowhere.
func TestNothing(t *testing.T) {
	c := clip(t, wan(40, 40, 13824))
	if _, err := Options(c, pool(t, "100xH100"), 83); err == nil {
		t.Error("83 ranks have a mesh")
	}
	all, fastest := answers(t, c, pool(t, "4xA10"), 0)
	if fastest.Fits || len(all) == 0 {
		t.Errorf("29 GB of weights fit into an A10: %+v", fastest)
	}
	if _, ok := Size(nil, 1, 0); ok {
		t.Error("no options are enough")
	}
}

// TestSize holds sizing to Erlang's table: with one of two servers busy on average a third waits.
func TestSize(t *testing.T) {
	if p := erlangC(2, 1); math.Abs(p-1./3) > 1e-12 {
		t.Errorf("of two servers, one of them busy, %g wait", p)
	}
	o := Option{Mesh: job.Mesh{CFG: 2, Ulysses: 4}, Fits: true}
	o.Total = 60
	s, ok := Size([]Option{o}, 60, 0) // one busy on average is not enough
	if !ok || s.Servers != 2 || s.Devices != 16 || s.Busy != 0.5 {
		t.Errorf("%+v", s)
	}
	strict, ok := Size([]Option{o}, 60, 61)
	if !ok || strict.Servers <= s.Servers || strict.Wait > 1 {
		t.Errorf("%+v", strict)
	}
	if _, ok := Size([]Option{o}, 60, 59); ok {
		t.Error("a clip of 60 s is there within 59")
	}
}
