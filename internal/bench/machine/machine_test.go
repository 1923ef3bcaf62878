package machine

import (
	"context"
	"math"
	"testing"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
)

// TestOverheadsAreFound has clips made by a machine of which is known what they take there.
func TestOverheadsAreFound(t *testing.T) {
	d, err := perf.Find("cpu")
	if err != nil {
		t.Fatal(err)
	}
	d.Cores, d.Efficiency = 2, map[string]perf.Efficiency{"fp32": {Linear: 0.8, Attention: 0.7,
		Convolution: 0.4, Memory: 1, Softmax: 20, Layer: 5e-5, First: 0.3, Decoded: 1, Frame: 1e-3}}
	d.Shared = d.Efficiency
	d.Overhead.Error = 0.05 // of what was measured so far
	const pass, decode, passEach, decodeEach = 1.1, 1.4, 1.2, 1.6
	slower := func(e map[string]perf.Efficiency, pass, decode float64) map[string]perf.Efficiency {
		return map[string]perf.Efficiency{"fp32": e["fp32"].Slower(pass, decode)}
	}
	want := perf.Overhead{Error: 0.05, Fixed: 0.01, Text: 0.02, Step: 3e-4, Encode: 1e-8,
		Message: 2e-5, Byte: 1e-9}

	made := func(_ context.Context, dir string, ranks, threads int, r job.Request) (Clip, error) {
		m, err := Describe(dir)
		if err != nil {
			return Clip{}, err
		}
		s, err := m.Resolve(r, nil)
		if err != nil {
			return Clip{}, err
		}
		is := d
		is.Overhead = want
		is.Efficiency = slower(d.Efficiency, pass, decode)
		is.Shared = slower(d.Shared, passEach, decodeEach)
		p := perf.Pool{}
		for range ranks {
			p.Nodes = append(p.Nodes, perf.Node{Device: is, Host: "here"})
		}
		if ranks*threads != d.Cores {
			t.Errorf("%d ranks of %d threads", ranks, threads)
		}
		how, err := perf.FindProfile("")
		if err != nil {
			return Clip{}, err
		}
		got, err := perf.Predict(m, s, r.Mesh, p, how)
		clip := Clip{Total: got.Total}
		clip.StepSeconds, clip.Seconds = got.Step, map[job.Stage]float64{}
		for _, stage := range []job.Stage{job.StageText, job.StageDenoise, job.StageDecode,
			job.StageEncode} {
			clip.Seconds[stage] = got.Stages[string(stage)]
		}
		return clip, err
	}
	got := d
	if err := Overheads(t.Context(), &got, t.TempDir(), made); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]float64{"fixed": {got.Overhead.Fixed, want.Fixed},
		"text": {got.Overhead.Text, want.Text}, "step": {got.Overhead.Step, want.Step},
		"byte":                     {got.Overhead.Byte, want.Byte},
		"message":                  {got.Overhead.Message, want.Message},
		"idle":                     {1 + got.Efficiency["fp32"].Idle, pass},
		"decoding":                 {got.Efficiency["fp32"].Convolution, d.Efficiency["fp32"].Convolution / decode},
		"idle beside another rank": {1 + got.Shared["fp32"].Idle, passEach},
		"decoding of two ranks":    {got.Shared["fp32"].Frame, d.Shared["fp32"].Frame * decodeEach},
	} {
		// The bytes of small messages count with them, and gauged passes with a step.
		if math.Abs(v[0]/v[1]-1) > 0.1 {
			t.Errorf("%s takes %g; want %g", name, v[0], v[1])
		}
	}
}
