package perf

import (
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// timed are passes and decodings on a device of which is known what it reaches.
func timed(peak, bandwidth float64, e Efficiency) (passes []TimedPass, decodings []TimedDecoding) {
	for i, p := range []TimedPass{{8, 8, 32, 896, 48, 0}, {4, 4, 32, 512, 192, 0},
		{2, 8, 32, 896, 864, 0}, {2, 6, 64, 1536, 384, 0}, {2, 4, 128, 2048, 256, 0},
		{1, 12, 64, 3072, 512, 0}, {2, 4, 32, 512, 1536, 0}, {1, 4, 64, 1024, 1024, 0}} {
		l, n, d, f := float64(p.Layers), float64(p.Tokens), float64(p.Heads*p.HeadDim),
			float64(p.FFNDim)
		p.Seconds = l*(12*n*d*d+4*n*d*f)/(peak*e.Linear) +
			l*n*n*float64(p.Heads)*(4*float64(p.HeadDim)+e.Softmax)/(peak*e.Attention) +
			l*(60*n*d+e.Weight*(6*d*d+2*d*f))/(bandwidth*e.Memory) + l*e.Layer
		passes = append(passes, p)
		n = float64(i%4 + 1)
		work, bytes := 1e9*float64(i+1), 1e6*float64(1+i*i%7)
		decodings = append(decodings, TimedDecoding{Work: work, Bytes: bytes, Latents: i%4 + 1,
			Seconds: work*(n-1+e.First)/(peak*e.Convolution) +
				n*(bytes*e.Decoded/(bandwidth*e.Memory)+e.Frame)})
	}
	return passes, decodings
}

// TestFitFindsWhatTimesConsistOf fits times that are sums of known parts, and then times that are
// noisy.
func TestFitFindsWhatTimesConsistOf(t *testing.T) {
	const peak, bandwidth = 1e11, 2e10
	want := Efficiency{Linear: 0.8, Attention: 0.6, Convolution: 0.4, Memory: 0.5, Softmax: 30,
		Weight: 8, Layer: 1e-4, First: 0.3, Decoded: 2, Frame: 1e-3}
	passes, decodings := timed(peak, bandwidth, want)
	got, off, err := Fit(peak, bandwidth, passes, decodings)
	if err != nil || off > 0.01 {
		t.Fatal(got, off, err)
	}
	again, more := timed(peak, bandwidth, got)
	for i, p := range again {
		if r := p.Seconds / passes[i].Seconds; math.Abs(r-1) > 0.02 {
			t.Errorf("%+v: %.3f of what it took", passes[i], r)
		}
		if r := more[i].Seconds / decodings[i].Seconds; math.Abs(r-1) > 0.02 {
			t.Errorf("%+v: %.3f of what it took", decodings[i], r)
		}
	}

	for i := range passes {
		passes[i].Seconds *= 1 + 0.05*float64(i%3-1)
	}
	got, off, err = Fit(peak, bandwidth, passes, decodings)
	if err != nil || off < 0.02 || off > 0.2 || got.check() != nil {
		t.Errorf("of noisy times %+v, an error of %.3f, %v", got, off, err)
	}
	if _, _, err := Fit(peak, bandwidth, passes[:3], decodings); err == nil {
		t.Error("three passes tell six parts")
	}
}

// measuredCPU is a machine with two cores.
func measuredCPU() Device {
	e := Efficiency{Linear: 0.8, Attention: 0.7, Convolution: 0.4, Memory: 1, Softmax: 20,
		Weight: 10, Layer: 5e-5, First: 0.3, Decoded: 1, Frame: 1e-3}
	alone := e
	alone.Linear = 0.9
	return Device{Name: "desk", Arch: cpuArch, Source: "measured: on a desk", Memory: 8 << 30,
		Peak: map[string]float64{"fp32": 2e11}, Bandwidth: 1e11, Link: 1e10, Bus: "memory", Host: 1e10,
		Watts: 50, Cores: 2, Efficiency: map[string]Efficiency{"fp32": e},
		Shared: map[string]Efficiency{"fp32": alone}, Overhead: Overhead{Fixed: 0.01, Text: 0.02,
			Step: 1e-4, Encode: 1e-8, Message: 1e-5, Byte: 1e-10, Error: 0.05}}
}

// TestRanksShareTheCoresOfTheirHost compares ranks on one host with ranks on hosts of their own.
func TestRanksShareTheCoresOfTheirHost(t *testing.T) {
	m := job.Model{Name: "m", Heads: 8, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Cost: job.Cost{FFNDim: 896, Decode: 4e7,
			Memory: job.Memory{DecodeBand: 120448}}}
	predict := func(mesh job.Mesh, hosts ...string) Prediction {
		t.Helper()
		p := Pool{Network: Link{Bytes: 1e12}, Inside: Link{Bytes: 1e12}}
		for _, h := range hosts {
			p.Nodes = append(p.Nodes, Node{Device: measuredCPU(), Host: h})
		}
		s := job.Spec{Width: 448, Height: 256, Frames: 33, Steps: 4, GuidanceScale: 4, DType: "fp32"}
		got, err := Predict(m, s, mesh, p, profile(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	alone := predict(job.Mesh{CFG: 1, Ulysses: 1}, "a")
	apart := predict(job.Mesh{CFG: 2, Ulysses: 1}, "a", "b")
	together := predict(job.Mesh{CFG: 2, Ulysses: 1}, "a", "a")
	crowd := predict(job.Mesh{CFG: 2, Ulysses: 2}, "a", "a", "a", "a")
	for name, c := range map[string]struct{ ratio, least, most float64 }{
		"two hosts":     {apart.Step / alone.Step, 0.49, 0.52},
		"two on one":    {together.Step / alone.Step, 0.85, 0.99}, // with less to wait for
		"four on two":   {crowd.Step / together.Step, 1, 1.2},     // they send each other messages
		"one core each": {together.Stages["decode"] / apart.Stages["decode"], 1.9, 2.1},
	} {
		if c.ratio < c.least || c.ratio > c.most {
			t.Errorf("%s: %.3f; want %g to %g", name, c.ratio, c.least, c.most)
		}
	}
	// The encoder has one of two cores, or with a rank on each what the others leave.
	pixel := 1e-8 * 448 * 256 * 33
	if a, b := alone.Stages["encode"]/pixel, apart.Stages["encode"]/pixel; math.Abs(a-0.5) > 1e-6 ||
		math.Abs(b-0.5) > 1e-6 {
		t.Errorf("encoding is %g and %g of its time", a, b)
	}
	if c := crowd.Stages["encode"] / pixel; math.Abs(c-1) > 1e-6 {
		t.Errorf("encoding is %g of its time with two ranks for each core", c)
	}
	if alone.Error != 0.05 || alone.Stages["start"] != 0.01 || alone.Stages["text"] != 0.02 {
		t.Errorf("%+v", alone)
	}

	half := measuredCPU().OneCore()
	if half.Peak["fp32"] != 1e11 || half.Efficiency["fp32"].Linear != 0.9 || half.Cores != 1 {
		t.Errorf("%+v", half)
	}
	var text strings.Builder
	if err := measuredCPU().Write(&text); err != nil {
		t.Fatal(err)
	}
	if d, err := Read(strings.NewReader(text.String())); err != nil || d.Cores != 2 ||
		d.Overhead != measuredCPU().Overhead || d.Shared["fp32"] != measuredCPU().Shared["fp32"] {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestRanksOfACoreUseItsTime has four ranks on two cores: no core is idle while another rank has
// something to do, be it more windows or another pass.
func TestRanksOfACoreUseItsTime(t *testing.T) {
	m := job.Model{Name: "m", Heads: 8, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Cost: job.Cost{FFNDim: 896, Decode: 4e7,
			Memory: job.Memory{DecodeBand: 120448}}}
	s := job.Spec{Width: 448, Height: 256, Frames: 41, Steps: 4, GuidanceScale: 4, DType: "fp32",
		Window: 5, Overlap: 2} // three windows
	step := func(idle float64, mesh job.Mesh) float64 {
		d, p := measuredCPU(), Pool{Inside: Link{Bytes: 1e12}}
		d.Overhead.Message, d.Overhead.Byte = 0, 0
		for _, e := range []map[string]Efficiency{d.Efficiency, d.Shared} {
			of := e["fp32"]
			of.Idle = idle
			e["fp32"] = of
		}
		for range mesh.Size() {
			p.Nodes = append(p.Nodes, Node{Device: d, Host: "a"})
		}
		got, err := Predict(m, s, mesh, p, profile(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		return got.Step
	}

	one, two := job.Mesh{CFG: 1, Ulysses: 2}, job.Mesh{CFG: 1, Ulysses: 2, Window: 2}
	for name, c := range map[string][2]float64{
		"two groups share three windows":   {step(0, two) / step(0, one), 1},
		"a rank for each core is idle":     {step(0.2, one) / step(0, one), 1.2},
		"with three for two, half as much": {step(0.2, two) / step(0, two), 1.1},
	} {
		if math.Abs(c[0]-c[1]) > 0.03 {
			t.Errorf("%s: %.3f times as long; want %g", name, c[0], c[1])
		}
	}
}
