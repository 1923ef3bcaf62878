package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, bound float64) {
	t.Helper()
	if !(math.Abs(got-want) <= bound) {
		t.Errorf("%s is %v; want %v ± %v", what, got, want, bound)
	}
}

func TestPercentilesAreOfTheNearestRank(t *testing.T) {
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	f := func(p, want float64) {
		t.Helper()
		if got := Percentile(ten, p); got != want {
			t.Errorf("p%v is %v; want %v", 100*p, got, want)
		}
	}
	f(0, 1)
	f(0.1, 1) // not 2, though 0.1 is a little more than a tenth
	f(0.11, 2)
	f(0.5, 5)
	f(0.7, 7)
	f(0.9, 9)
	f(0.99, 10)
	f(1, 10)
	if got := Percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestHowManySamplesPercentilesNeed(t *testing.T) {
	for p, want := range map[float64]int{0.5: 6, 0.9: 36, 0.99: 368} {
		if got := Needed(p); got != want {
			t.Errorf("p%v needs %d; want %d", 100*p, got, want)
		}
	}
	d := distribution(slices.Repeat([]float64{1, 2}, 20), 1)
	if d.P50.Few || d.P90.Few || !d.P99.Few {
		t.Errorf("of 40 samples %+v; only p99 is of too few", d)
	}
}

// TestIntervalsHoldTheTruth draws many samples of a known distribution: about 95 of 100 intervals
// have to contain its mean, its percentiles, and a share.
func TestIntervalsHoldTheTruth(t *testing.T) {
	const tries, n = 400, 60
	rng := rand.New(rand.NewPCG(7, 7))
	hits := map[string]int{}
	hit := func(name string, e Estimate, truth float64) {
		if e.Low <= truth && truth <= e.High {
			hits[name]++
		}
	}
	for range tries {
		values := make([]float64, n)
		below := 0
		for i := range values {
			values[i] = math.Exp(0.3 * rng.NormFloat64())
			if values[i] < 1 {
				below++
			}
		}
		d := distribution(values, rng.Uint64())
		hit("mean", d.Mean, math.Exp(0.3*0.3/2))
		hit("p50", d.P50, 1)
		hit("p90", d.P90, math.Exp(0.3*1.281552))
		hit("share", share(below, n), 0.5)
	}
	for _, name := range []string{"mean", "p50", "p90", "share"} {
		if got := float64(hits[name]) / tries; got < 0.9 || got > 0.985 {
			t.Errorf("intervals of the %s hold the truth in %.3f of all tries", name, got)
		}
	}
}

// TestPercentilesAreAsResampled holds the interval without resampling to one with.
func TestPercentilesAreAsResampled(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 50)
	for i := range values {
		values[i] = rng.Float64()
	}
	slices.Sort(values)
	got := percentile(values, 0.9)

	var draws []float64
	for range 20_000 {
		again := make([]float64, len(values))
		for i := range again {
			again[i] = values[rng.IntN(len(values))]
		}
		slices.Sort(again)
		draws = append(draws, Percentile(again, 0.9))
	}
	slices.Sort(draws)
	low, high := Percentile(draws, 0.025), Percentile(draws, 0.975)
	if got.Low != low || got.High != high {
		t.Errorf("interval %v to %v; resampled %v to %v", got.Low, got.High, low, high)
	}
}

func TestBootstrapsAreRepeatable(t *testing.T) {
	values := []float64{3.1, 1.41, 4.15, 1.73, 5.92, 9.65, 2.35, 6.89}
	a, b, c := distribution(values, 1), distribution(values, 1), distribution(values, 2)
	if a != b {
		t.Errorf("one seed, two answers: %v, %v", a, b)
	}
	if a == c {
		t.Error("the seed has no effect")
	}
	near(t, "mean", a.Mean.Value, sum(values)/8, 1e-12)
}

// TestLongListsKeepTheirMean has more values than are drawn from one by one.
func TestLongListsKeepTheirMean(t *testing.T) {
	values := make([]float64, 10_007)
	for i := range values {
		values[i] = float64(i % 10)
	}
	d := distribution(values, 1)
	near(t, "mean", d.Mean.Value, 4.5, 0.01)
	// The deviation of one value is 2.87, so that of the mean of 10,007 is 0.029.
	near(t, "half of the interval", (d.Mean.High-d.Mean.Low)/2, 1.96*0.029, 0.06)
}
