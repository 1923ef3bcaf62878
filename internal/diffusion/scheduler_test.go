package diffusion

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/golden"
)

// wan returns the config of Wan 2.1 for a kind.
func wan(kind string) SchedulerConfig { return SchedulerConfig{TrainTimesteps: 1000}.as(kind) }

// sigmas returns a scheduler's noise levels.
func sigmas(s Scheduler) []float32 {
	if u, ok := s.(*uniPC); ok {
		return u.sigmas
	}
	return s.(*euler).sigmas
}

// kept lists the steps whose latents a golden holds.
func kept(steps int) []int {
	if steps <= 4 {
		return []int{0, 1, 2, 3}[:steps]
	}
	return []int{0, 1, 2, steps / 2, steps - 2, steps - 1}
}

// trace runs a scheduler with the goldens' velocity 0.7·x + 0.3·bias and returns x after the
// steps kept. Step i's bias is bias[i·len(x):].
func trace(t *testing.T, s Scheduler, x, bias []float32) []float32 {
	t.Helper()
	x = slices.Clone(x)
	v := make([]float32, len(x))
	steps := len(s.Timesteps())
	var out []float32
	for i := range steps {
		for k := range x {
			v[k] = float32(float32(0.7)*x[k]) + float32(float32(0.3)*bias[i*len(x)+k])
		}
		if err := s.Step(i, x, v); err != nil {
			t.Fatal(err)
		}
		for _, k := range kept(steps) {
			if k == i {
				out = append(out, x...)
			}
		}
	}
	return out
}

// TestRestoreContinuesWithTheSameBits stops a scheduler anywhere and continues with another one.
func TestRestoreContinuesWithTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{KindUniPC, KindEuler}).Draw(t, "kind")
		cfg := wan(kind)
		if kind == KindUniPC {
			cfg.SolverOrder = rapid.IntRange(1, orderLimit).Draw(t, "order")
		}
		steps := rapid.IntRange(1, 12).Draw(t, "steps")
		at := rapid.IntRange(0, steps).Draw(t, "at")
		fresh := func() Scheduler {
			s, err := NewScheduler(kind, steps, 3, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		run := func(s Scheduler, x []float32, from, to int) {
			v := make([]float32, len(x))
			for i := from; i < to; i++ {
				for k := range x {
					v[k] = float32(0.7*x[k]) + float32(i*k)/10
				}
				if err := s.Step(i, x, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		want, got := []float32{1, -2, 0.5}, []float32{1, -2, 0.5}
		run(fresh(), want, 0, steps)
		first, second := fresh(), fresh()
		run(first, got, 0, at)
		if err := second.Restore(at, len(got), first.State()); err != nil {
			t.Fatal(err)
		}
		run(second, got, at, steps)
		if !slices.Equal(got, want) {
			t.Fatalf("stopped at %d of %d: %v, want %v", at, steps, got, want)
		}
		state := append(first.State(), make([]float32, 3))
		if err := fresh().Restore(at, len(got), state); err == nil {
			t.Fatal("a slice too many was taken")
		}
	})
}

func TestSchedulers(t *testing.T) {
	f := golden.Open(t, "sched")
	x, bias := f.Floats("x"), f.Floats("bias")
	for _, kind := range []string{KindUniPC, KindEuler} {
		values, differ, worst := 0, 0, 0.0
		for _, shift := range []float64{1, 3, 5} {
			for _, steps := range []int{1, 2, 3, 4, 20, 50} {
				name := fmt.Sprintf("%s.%g.%d", kind, shift, steps)
				s, err := NewScheduler(kind, steps, shift, wan(kind))
				if err != nil {
					t.Fatal(err)
				}
				if n, _ := difference(s.Timesteps(), f.Floats(name+".timesteps")); n > 0 {
					t.Errorf("%s: %d timesteps differ", name, n)
				}
				if n, _ := difference(sigmas(s), f.Floats(name+".sigmas")); n > 0 {
					t.Errorf("%s: %d sigmas differ", name, n)
				}
				got, want := trace(t, s, x, bias), f.Floats(name+".x")
				e := golden.RelL2(got, want)
				if !(e <= 2e-6) {
					t.Errorf("%s: relative error %.3g", name, e)
				}
				n, _ := difference(got, want)
				values, differ, worst = values+len(want), differ+n, max(worst, e)
			}
		}
		t.Logf("%s: %d of %d values differ, relative error up to %.2g", kind, differ, values, worst)
	}
}

func TestUniPCSettings(t *testing.T) {
	// x after the last step, from diffusers 0.42.1 with torch 2.15.0.
	cases := []struct {
		order   int
		disable []int
		shift   float64
		train   int
		steps   int
		want    []float32
	}{
		{1, nil, 0.5, 1000, 7,
			[]float32{0.470101565, -0.237989202, 0.130766094, 0.972290397}},
		{1, nil, 12, 500, 6,
			[]float32{0.456867099, -0.0310488939, -0.0159947574, 0.806444466}},
		{1, []int{0, 2}, 0.5, 1000, 7,
			[]float32{0.482760042, -0.241634071, 0.122725733, 0.951368511}},
		{2, nil, 0.5, 1000, 7,
			[]float32{0.490506828, -0.230183512, 0.114338405, 0.990616381}},
		{2, []int{0, 2}, 12, 500, 6,
			[]float32{0.463942021, -0.0282758176, -0.0381504744, 0.809917808}},
		{3, nil, 0.5, 1000, 7,
			[]float32{0.488575667, -0.230195493, 0.086685285, 1.0036763}},
		{3, nil, 12, 500, 6,
			[]float32{0.462815523, -0.0278396606, -0.0371454507, 0.814470172}},
		{3, []int{0, 2}, 0.5, 1000, 7,
			[]float32{0.507693708, -0.232489839, 0.081496954, 0.967036784}},
		{3, []int{0, 2}, 12, 500, 6,
			[]float32{0.464209616, -0.028110981, -0.037460953, 0.810394824}},
	}
	for _, c := range cases {
		cfg := wan(KindUniPC)
		cfg.SolverOrder, cfg.DisableCorrector, cfg.TrainTimesteps = c.order, c.disable, c.train
		s, err := NewScheduler(KindUniPC, c.steps, c.shift, cfg)
		if err != nil {
			t.Fatal(err)
		}
		bias := make([]float32, 4*c.steps)
		for i := range bias {
			bias[i] = float32(i*5%7-3) / 4
		}
		got := trace(t, s, []float32{1, -0.5, 0.25, 2}, bias)
		golden.Near(t, fmt.Sprintf("order %d, disabled %v, shift %g", c.order, c.disable, c.shift),
			got[len(got)-4:], c.want, 2e-6)
	}
}

func TestTimestepsOfOtherTraining(t *testing.T) {
	for kind, want := range map[string][]float32{
		KindUniPC: {499, 491, 480, 461, 428, 354},
		KindEuler: {500, 490.087799, 474.646881, 447.262726, 385.340057, 111.975128},
	} {
		cfg := wan(kind)
		cfg.TrainTimesteps = 500
		s, err := NewScheduler(kind, 6, 12, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Timesteps(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}

// TestSlices: however the latent is cut, the bytes are the same.
func TestSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{KindUniPC, KindEuler}).Draw(t, "kind")
		steps := rapid.IntRange(1, 9).Draw(t, "steps")
		size := rapid.IntRange(1, 40).Draw(t, "size")
		cut := rapid.IntRange(0, size).Draw(t, "cut")
		cfg := wan(kind)
		cfg.SolverOrder = rapid.IntRange(1, orderLimit).Draw(t, "order")
		data := make([]float32, (steps+1)*size)
		randn(NewGenerator(rapid.Uint64().Draw(t, "seed")), data)
		run := func(lo, hi int) []float32 {
			s, err := NewScheduler(kind, steps, 3, cfg)
			if err != nil {
				t.Fatal(err)
			}
			x := slices.Clone(data[lo:hi])
			for i := range steps {
				v := data[(i+1)*size:]
				if err := s.Step(i, x, v[lo:hi]); err != nil {
					t.Fatal(err)
				}
			}
			return x
		}
		whole, parts := run(0, size), append(run(0, cut), run(cut, size)...)
		if n, _ := difference(parts, whole); n > 0 {
			t.Fatalf("%d values differ when cut at %d", n, cut)
		}
	})
}

// TestSchedulersStayFinite: every allowed count of steps and shift gives finite latents and falling
// timesteps, or an error.
func TestSchedulersStayFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{KindUniPC, KindEuler}).Draw(t, "kind")
		steps := rapid.IntRange(1, stepsLimit).Draw(t, "steps")
		cfg := wan(kind)
		cfg.TrainTimesteps = rapid.SampledFrom([]int{1, 2, 1000, trainLimit}).Draw(t, "train")
		cfg.SolverOrder = rapid.IntRange(1, orderLimit).Draw(t, "order")
		shift := rapid.Float64Range(1e-3, shiftLimit).Draw(t, "shift")
		s, err := NewScheduler(kind, steps, shift, cfg)
		if err != nil {
			return
		}
		times := s.Timesteps()
		if len(times) != steps || !slices.IsSortedFunc(times, func(a, b float32) int {
			return cmp.Compare(b, a)
		}) {
			t.Fatalf("timesteps %v", times)
		}
		x, v := []float32{1}, []float32{0}
		for i := range steps {
			v[0] = x[0] - 0.5
			if err := s.Step(i, x, v); err != nil || math.IsNaN(float64(x[0])) || abs(x[0]) > 100 {
				t.Fatalf("step %d: %v, %v", i, x, err)
			}
		}
	})
}

func TestStepErrors(t *testing.T) {
	for _, kind := range []string{KindUniPC, KindEuler} {
		s, err := NewScheduler(kind, 2, 3, wan(kind))
		if err != nil {
			t.Fatal(err)
		}
		x := []float32{1, 2}
		check := func(i int, x, v []float32, want string) {
			t.Helper()
			before := slices.Clone(x)
			err := s.Step(i, x, v)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: step %d gave %v, want %q", kind, i, err, want)
			}
			if !slices.Equal(x, before) {
				t.Errorf("%s: a refused step %d changed x", kind, i)
			}
		}
		check(1, x, x, "step 1 is out of order, step 0 is next")
		check(-1, x, x, "out of order")
		check(0, x, x[:1], "a velocity of 1 values for a latent of 2")
		if err := s.Step(0, x, []float32{0, 0}); err != nil {
			t.Error(err)
		}
		check(0, x, x, "step 0 is out of order, step 1 is next")
		check(1, x[:1], x[:1], "a latent of 1 values, 2 at the steps before")
		if err := s.Step(1, x, []float32{0, 0}); err != nil {
			t.Error(err)
		}
		check(2, x, x, "step 2 is past the last of 2")
	}
}

func TestNewSchedulerErrors(t *testing.T) {
	ok := wan(KindUniPC)
	cases := []struct {
		kind  string
		steps int
		shift float64
		cfg   SchedulerConfig
		want  string
	}{
		{"unipc", 0, 3, ok, "0 steps; allowed: 1 to 1000"},
		{"euler", 1001, 3, ok, "1001 steps"},
		{"unipc", 4, 0, ok, "flow shift 0; allowed: above 0, up to 100"},
		{"unipc", 4, math.NaN(), ok, "flow shift NaN"},
		{"euler", 4, math.Inf(1), ok, "flow shift +Inf"},
		{"dpm", 4, 3, ok, `kind "dpm"; allowed: unipc, euler`},
		{"", 4, 3, SchedulerConfig{}, "kind \"\""},
		{"unipc", 4, 3, SchedulerConfig{Class: ClassUniPC}, "0 training timesteps"},
		{"unipc", 4, 3, SchedulerConfig{Class: ClassUniPC, TrainTimesteps: 1, SolverOrder: 4},
			"solver order 4; allowed: 1 to 3"},
		{"unipc", 4, 3, SchedulerConfig{Class: ClassUniPC, TrainTimesteps: 1, SolverOrder: 2},
			"steps 1 and 2 have the same noise level"},
	}
	for _, c := range cases {
		_, err := NewScheduler(c.kind, c.steps, c.shift, c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %d, %v: %v, want %q", c.kind, c.steps, c.shift, err, c.want)
		}
	}
}
