package result

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// noise are the logarithms of n pairs' ratios: they scatter by a deviation, neighbours alike, one
// of ten by several times as much, and what comes second takes 2 % longer.
func noise(seed uint64, n int, deviation, shift float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 78))
	out, mood := make([]float64, n), 0.0
	for i := range out {
		mood = 0.3*mood + deviation*rng.NormFloat64()
		out[i] = mood + shift + 0.01*float64(i%2*2-1)
		if rng.IntN(10) == 0 {
			out[i] += 3 * deviation * rng.NormFloat64() / (0.3 + math.Abs(rng.NormFloat64()))
		}
	}
	return out
}

// TestResolvingKeepsItsPromises ends many runs as Turns does: once their pairs would show a
// difference of a size, or have become too many. Runs of equal servers that end so show one no more
// often than is stated, and nearly all of those with 5 % more.
func TestResolvingKeepsItsPromises(t *testing.T) {
	const tries, most = 600, 400
	type quantiles struct{ sure, power float64 }
	known := map[float64]quantiles{}
	usual := make([]float64, most)
	for _, c := range []struct {
		deviation, resolve float64
		// How many pairs a run has, how many show what is not there, at the most, and how many show
		// 5 %, at the least.
		few, many     int
		alarms, found int
	}{{0.03, 0.033, 48, 120, 6, 596}, {0.06, 0.033, 150, 300, 6, 596},
		{0.12, 0.1, 48, 100, 6 + 5, 0}} { // 1 %, and two standard deviations of that
		used, alarms, found := 0, 0, 0
		for seed := range uint64(tries) {
			for _, shift := range []float64{0, math.Log(1.05)} {
				ratios, n := noise(seed, most, c.deviation, shift), ResolveLeast
				for ; ; n += ResolveEvery {
					d := design{ratios: ratios[:n]}
					d.a.usual = usual[:n]
					a, b, e, df := d.byPairs()
					if known[df] == (quantiles{}) {
						s := distuv.StudentsT{Sigma: 1, Nu: df}
						known[df] = quantiles{s.Quantile(1 - falseAlarms/2), s.Quantile(power)}
					}
					q := known[df]
					if math.Expm1((q.sure+q.power)*e) > c.resolve && n < most {
						continue
					}
					shown := math.Log(b/a) / e
					switch {
					case shift == 0:
						used += n
						if math.Abs(shown) > q.sure {
							alarms++
						}
					case shown > q.sure:
						found++
					}
					break
				}
			}
		}
		t.Logf("%+v: %d pairs, %d alarms, %d found", c, used/tries, alarms, found)
		if used/tries < c.few || used/tries > c.many || alarms > c.alarms || found < c.found {
			t.Errorf("%+v is not kept", c)
		}
	}
}

// TestResolves is what the comparison of the same clips says.
func TestResolves(t *testing.T) {
	a, b := sides(1, 60, 1)
	b.Requests[7].Failure, b.Requests[7].Latency = &Failure{Class: FailServer}, 0
	want := compared(t, []Result{a}, []Result{b}, Options{}).Metrics[0].Smallest
	if n, got := Resolves(a.Requests, b.Requests); n != 59 || got != want || want == 0 {
		t.Errorf("%d pairs, %v; want %v", n, got, want)
	}
	for n := range clipsMin {
		_, got := Resolves(a.Requests[:n], b.Requests[:n])
		if !math.IsInf(got, 1) {
			t.Errorf("%d pairs: %v", n, got)
		}
	}
}
