package perf

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// profile returns one that exists.
func profile(t interface{ Fatal(...any) }, name string) Profile {
	p, err := FindProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// device returns one that exists.
func device(t interface{ Fatal(...any) }, name string) Device {
	d, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// clip720 is the clip of MLPerf's text-to-video task.
var clip720 = job.Spec{Width: 1280, Height: 720, Frames: 81, Steps: 20, GuidanceScale: 4,
	DType: "bf16"}

// TestFasterIsNeverSlower raises a figure of a device or a link of any prediction: no part of the
// model may take longer for it.
func TestFasterIsNeverSlower(t *testing.T) {
	_, models := figures()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "HunyuanVideo"})
		m := models[name.Draw(t, "model")]
		d := device(t, rapid.SampledFrom(Devices()).Draw(t, "device"))
		how := profile(t, rapid.SampledFrom(Profiles()).Draw(t, "profile"))
		how.Lacks = nil // on whatever device
		mesh := job.Mesh{CFG: rapid.IntRange(1, 2).Draw(t, "cfg"),
			Ulysses: rapid.IntRange(1, 12).Draw(t, "ulysses")}
		s := clip720
		s.Frames = 4*rapid.IntRange(1, 40).Draw(t, "latents") + 1
		pool := alike(d, mesh.Size(), rapid.IntRange(1, 24).Draw(t, "per host"))
		pool.Network = Link{Bytes: rapid.Float64Range(1e8, 1e11).Draw(t, "network"), Latency: 1e-5}

		before, err := Predict(m, s, mesh, pool, how)
		if err != nil {
			t.Fatal(err)
		}
		more := rapid.Float64Range(1, 10).Draw(t, "times")
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			for kind, v := range d.Peak {
				d.Peak = with(d.Peak, kind, v*more)
			}
		case 1:
			d.Bandwidth *= more
		case 2:
			d.Link *= more
		case 3:
			pool.Network.Bytes *= more
		case 4:
			pool.Network.Latency /= more
		}
		for i := range pool.Nodes {
			pool.Nodes[i].Device = d
		}

		after, err := Predict(m, s, mesh, pool, how)
		if err != nil || after.Total > before.Total*(1+1e-9) {
			t.Fatalf("%.6g s, then %.6g s, %v", before.Total, after.Total, err)
		}
	})
}

// TestLaunchesHideActivations is what the test above once found: where the host takes longer to
// issue kernels than they take, activations travel meanwhile, whether kernels are fast or slow.
func TestLaunchesHideActivations(t *testing.T) {
	_, models := figures()
	s := clip720
	s.Frames = 5
	predict := func(peak, bandwidth float64) Prediction {
		d := device(t, "MI355X")
		d.Bandwidth *= bandwidth
		for kind, v := range d.Peak {
			d.Peak = with(d.Peak, kind, v*peak)
		}
		how := profile(t, Longtake)
		how.Lacks = nil
		pool := alike(d, 3, 1)
		pool.Network = Link{Bytes: 1e8, Latency: 1e-5}
		p, err := Predict(models["Wan2.1-T2V-1.3B"], s, job.Mesh{CFG: 1, Ulysses: 3}, pool, how)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}

	slow := predict(1, 1)
	for _, fast := range []Prediction{predict(2, 1), predict(1, 2), predict(10, 10)} {
		if fast.Step > slow.Step {
			t.Errorf("a step takes %.6g s, then %.6g", slow.Step, fast.Step)
		}
	}
}

// with returns a map with another value of a key.
func with(m map[string]float64, key string, v float64) map[string]float64 {
	out := map[string]float64{key: v}
	for k, o := range m {
		if k != key {
			out[k] = o
		}
	}
	return out
}

// TestPartsAddUp counts a prediction's times.
func TestPartsAddUp(t *testing.T) {
	_, models := figures()
	for _, n := range []int{1, 2, 8} {
		mesh := job.Mesh{CFG: min(n, 2), Ulysses: max(1, n/2)}
		p, err := Predict(models["Wan2.2-T2V-A14B"], clip720, mesh, alike(device(t, "H200"), n, 8),
			profile(t, ""))
		if err != nil {
			t.Fatal(err)
		}

		stages := 0.
		for _, took := range p.Stages {
			stages += took
		}
		compute := p.Linear + p.Attention + p.MemoryBound + p.Waiting
		step := p.Compute + p.Exposed + p.Velocities
		for what, pair := range map[string][2]float64{"stages": {stages, p.Total},
			"compute": {compute, p.Compute}, "step": {step, p.Step},
			"steps": {20 * p.Step, p.Stages["denoise"]}} {
			if math.Abs(pair[0]/pair[1]-1) > 1e-9 {
				t.Errorf("%d devices, %s: parts %v, whole %v", n, what, pair[0], pair[1])
			}
		}
		if p.MFU <= 0.2 || p.MFU >= 1 || (p.BytesInside == 0) != (n == 1) || p.BytesBetween != 0 {
			t.Errorf("%d devices: %+v", n, p)
		}
	}
}

// TestLimits wants the name of what most of the time goes by.
func TestLimits(t *testing.T) {
	_, models := figures()
	h100, demo := device(t, "H100"), models["Wan2.1-T2V-1.3B"]
	starved, weak, slow := h100, h100, alike(h100, 8, 1)
	starved.Bandwidth /= 1000
	weak.Link /= 1000
	slow.Network = Link{Bytes: 1e8}
	long := profile(t, "")
	long.Shares, long.Decoded = false, 1e9

	for want, c := range map[string]struct {
		pool Pool
		how  Profile
	}{
		"compute": {alike(h100, 8, 8), profile(t, "")}, "memory": {alike(starved, 8, 8), profile(t, "")},
		"nvlink": {alike(weak, 8, 8), profile(t, "")}, "network": {slow, profile(t, "")},
		"decode": {alike(h100, 8, 8), long},
	} {
		p, err := Predict(demo, clip720, job.Mesh{CFG: 1, Ulysses: 8}, c.pool, c.how)
		if err != nil || p.Limit != want {
			t.Errorf("limit %q, %v; want %q: %+v", p.Limit, err, want, p)
		}
	}
}

// TestHostsShareTheirNetwork compares eight devices of one host with four of each of two.
func TestHostsShareTheirNetwork(t *testing.T) {
	_, models := figures()
	mesh := job.Mesh{CFG: 1, Ulysses: 8}
	predict := func(perHost int) Prediction {
		pool := alike(device(t, "H100"), 8, perHost)
		pool.Network = Link{Bytes: 12.5e9, Latency: 1e-4}
		p, err := Predict(models["Wan2.1-T2V-14B"], clip720, mesh, pool, profile(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}

	one, two := predict(8), predict(4)
	all := one.BytesInside
	if two.Step <= one.Step || two.BytesInside+two.BytesBetween != all || one.BytesBetween != 0 {
		t.Errorf("one host: %+v; two: %+v", one, two)
	}
	// Of 56 pairs of ranks, 32 are on different hosts.
	if part := two.BytesBetween / all; math.Abs(part-32./56) > 0.01 {
		t.Errorf("%.3f of the bytes leave a host; want %.3f", part, 32./56)
	}
}

// TestTokenTimes: what each rank does for all tokens does not get less with more ranks, takes the
// time of its type, and nothing in programs that do not do it.
func TestTokenTimes(t *testing.T) {
	_, models := figures()
	d, how := device(t, "H100"), profile(t, "wan-2.2")
	step := func(ranks int, times string) float64 {
		how.Times = times
		p, err := Predict(models["Wan2.2-T2V-A14B"], clip720, job.Mesh{CFG: 1, Ulysses: ranks},
			alike(d, ranks, ranks), how)
		if err != nil {
			t.Fatal(err)
		}
		return p.Step
	}

	alone, eight := step(1, "fp32")-step(1, ""), step(8, "fp32")-step(8, "")
	if math.Abs(eight/alone-1) > 0.01 {
		t.Errorf("one rank takes %v s longer, each of eight %v", alone, eight)
	}
	const work = 2 * 2 * 75600 * 5120 * (256 + 7*5120) // two passes
	if want := work / (66.9e12 * 0.65); math.Abs(alone/want-1) > 0.01 {
		t.Errorf("it takes %v s in float32, want %v", alone, want)
	}
	if tf32 := step(1, "tf32") - step(1, ""); !(tf32 > 0.1*alone && tf32 < 0.2*alone) {
		t.Errorf("it takes %v s in TF32 and %v in float32", tf32, alone)
	}
}

// TestPredictRefuses lists what cannot be predicted, and what is said of it.
func TestPredictRefuses(t *testing.T) {
	_, models := figures()
	m, a100 := models["Wan2.1-T2V-1.3B"], device(t, "A100")
	fp8 := clip720
	fp8.DType = "fp8"
	unknown := m
	unknown.Cost = job.Cost{}

	for i, c := range []struct {
		m    job.Model
		s    job.Spec
		mesh job.Mesh
		n    int
		want string
	}{
		{m, clip720, job.Mesh{CFG: 3, Ulysses: 1}, 3, "cfg 1, or 2 with guidance"},
		{m, clip720, job.Mesh{CFG: 1, Ulysses: 2}, 3, "3 nodes for mesh cfg=1,ulysses=2; allowed: 2"},
		{m, fp8, job.Mesh{CFG: 1, Ulysses: 1}, 1, `"fp8"; allowed on A100: bf16, fp32`},
		{unknown, clip720, job.Mesh{CFG: 1, Ulysses: 1}, 1, "does not say what it computes"},
	} {
		_, err := Predict(c.m, c.s, c.mesh, alike(a100, c.n, c.n), profile(t, ""))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v; want %q", i, err, c.want)
		}
	}
}

// Example predicts MLPerf's clip on eight GPUs.
func Example() {
	h200, _ := Find("h200 sxm")
	how, _ := FindProfile("tuned")
	_, models := figures()
	pool := Pool{}
	for range 8 {
		pool.Nodes = append(pool.Nodes, Node{Device: h200, Host: "a"})
	}
	p, _ := Predict(models["Wan2.2-T2V-A14B"], clip720, job.Mesh{CFG: 2, Ulysses: 4}, pool, how)
	fmt.Printf("%.0f s, within %.0f %%; limited by %s\n", p.Total, 100*p.Error, p.Limit)
	// Output: 60 s, within 11 %; limited by compute
}
