package plan

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// estimated is a model of which the cost is known.
func estimated() job.Model {
	return job.Model{Name: "m", Heads: 6, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Cost: job.Cost{FFNDim: 512, Decode: 4e7, Pixels: 1 << 16}}
}

// clip draws a request, and what it takes of a rank.
func clip(r *rand.Rand, speed float64) Effort {
	s := job.Spec{Width: 64 + 16*r.IntN(5), Height: 64 + 16*r.IntN(5), Frames: 1 + 4*r.IntN(9),
		Steps: 2 + r.IntN(7), GuidanceScale: float64(1 + 4*r.IntN(2))}
	e, _ := EffortOf(estimated(), s, job.Mesh{CFG: 1, Ulysses: 1 + r.IntN(2)}, speed)
	return e
}

// The stages of a run have noise of their own, as those of real clips have: a machine that is busy
// for a moment slows down the stage of that moment alone.

// run is what a synthetic cluster makes of an effort: prices of its own, and noise.
func run(r *rand.Rand, e, prices Effort, noise float64) Sample {
	by := func() float64 { return math.Exp(noise * r.NormFloat64()) }
	s := Sample{Effort: e, Denoise: by() * e.only(linear, attention, passes).dot(prices),
		Decode: by() * e.only(decode, first).dot(prices), Write: by() * e.only(encode).dot(prices)}
	s.Total = s.Denoise + s.Decode + s.Write + prices[fixed]
	return s
}

// TestCalibrationPredicts lets clusters whose prices are far from what is expected run some clips,
// and compares what further ones take. Some clips of the larger sets are outliers.
func TestCalibrationPredicts(t *testing.T) {
	slow := Effort{fixed: 0.2, linear: 3, attention: 4, passes: 0.01, decode: 9, first: 2,
		encode: 3e-7}
	fast := Effort{fixed: 0.02, linear: 0.6, attention: 0.9, passes: 1e-3, decode: 0.8, first: 0.1,
		encode: 2e-8}
	for _, c := range []struct {
		prices       Effort
		jobs, others int
		noise, want  float64
	}{{slow, 3, 0, 0, 0.15}, {fast, 3, 0, 0, 0.15}, {slow, 16, 0, 0.03, 0.1},
		{fast, 64, 6, 0.05, 0.1}} {
		r := rand.New(rand.NewPCG(1, 2))
		var samples []Sample
		for i := range c.jobs {
			s := run(r, clip(r, 1e11), c.prices, c.noise)
			if i < c.others { // the machine did something else
				s.Total, s.Denoise = 5*s.Total, 5*s.Denoise
			}
			samples = append(samples, s)
		}

		// None of these was among the samples.
		k := Calibrate(samples)
		for range 50 {
			e := clip(r, 1e11)
			got, _ := k.Predict(e)
			if want := run(r, e, c.prices, 0).Total; math.Abs(got/want-1) > c.want {
				t.Errorf("%d jobs: %.3g s; want %.3g (%v)", c.jobs, got, want, k.prices)
			}
		}
	}
}

// TestCalibrationKnowsItsError: what was never seen is less sure than what was, and more jobs make
// it surer.
func TestCalibrationKnowsItsError(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	e := clip(r, 1e11)
	before := math.Inf(1)
	var samples []Sample
	for _, n := range []int{0, 1, 3, 30} {
		for len(samples) < n {
			samples = append(samples, run(r, clip(r, 1e11), expected, 0.02))
		}
		k := Calibrate(samples)
		seconds, off := k.Predict(e)
		if off >= before || off <= 0 || seconds <= 0 || k.Samples != n {
			t.Errorf("%d jobs: %.3g s, an error of %.3g; want less than %.3g", n, seconds, off, before)
		}
		before = off
	}
	if before > 0.1 {
		t.Errorf("after 30 jobs the error is %.3g", before)
	}
}

// TestCalibrationTakesAnything: totals that cannot be, and the order of samples, change nothing.
func TestCalibrationTakesAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	a, b := run(r, clip(r, 1e11), expected, 0.1), run(r, clip(r, 1e11), expected, 0.1)
	e := clip(r, 1e11)
	want, _ := Calibrate([]Sample{a, b}).Predict(e)
	nothing := Sample{Effort: e}
	endless := Sample{Effort: e, Total: math.Inf(1)}
	nan := Sample{Effort: e, Total: math.NaN()}
	got, off := Calibrate([]Sample{nothing, b, endless, a, nan}).Predict(e)
	if math.Abs(got/want-1) > 1e-6 || math.IsNaN(off) {
		t.Errorf("%v +- %v; want %v", got, off, want)
	}
	if _, off := Calibrate(nil).Predict(Effort{}); off != 1 {
		t.Errorf("nothing takes nothing, with an error of %v", off)
	}
	if _, known := EffortOf(job.Model{}, job.Spec{}, job.Mesh{CFG: 1, Ulysses: 1}, 1); known {
		t.Error("the effort of an unknown model is known")
	}
}
