package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// sides are two results of n pairs on a machine that is far from quiet. It drifts by 20 % within a
// minute, and by half over the run; pairs scatter by 8 %, neighbours alike; one clip of ten takes
// longer, sometimes several times; what comes second takes 2 % longer.
func sides(seed uint64, n int, factor float64) (a, b Result) {
	rng := rand.New(rand.NewPCG(seed, 77))
	a, b = plain(n), plain(n)
	a.Scenario.ObjectiveSeconds, b.Scenario.ObjectiveSeconds = 0, 0
	a.Pair, b.Pair = &Pair{ID: "x", Side: SideA}, &Pair{ID: "x", Side: SideB}
	now, slow, mood := 0.0, 0.0, 0.0
	for i := range n {
		mood = 0.3*mood + 0.04*rng.NormFloat64() // of this pair, in which B differs from A
		for k := range 2 {
			r, by := &a, 1.0
			if (i+k)%2 == 1 {
				r, by = &b, factor*math.Exp(mood)
			}
			spread := slow + 0.5*now/(float64(n)*2) + 0.02*float64(k) + 0.05*rng.NormFloat64()
			if rng.IntN(10) == 0 {
				spread += 0.3 * math.Abs(rng.NormFloat64()/(0.3+math.Abs(rng.NormFloat64())))
			}
			q := &r.Requests[i]
			q.Index, q.Sent, q.Planned = i, now, now
			q.Latency = by * (1 + 0.3*math.Sin(float64(i))) * math.Exp(spread)
			q.DeviceSeconds, q.Stages, q.Queue = q.Latency, nil, nil
			kept := math.Exp(-q.Latency / 60)
			slow = slow*kept + 0.2*math.Sqrt(1-kept*kept)*rng.NormFloat64()
			now += q.Latency
		}
	}
	a.Finished = a.Started.Add(time.Duration(now * float64(time.Second)))
	b.Finished = a.Finished
	return a, b
}

// TestPairsSeeFivePercent where the machine drifts by much more: of equal sides, few are called
// different, in whatever metric (counted of every fourth, as that takes longer); of those with
// 5 %, nearly all are found.
func TestPairsSeeFivePercent(t *testing.T) {
	const tries, n = 200, 200
	var alarms, first, found int
	typical := func(a, b Result, seed uint64) Metric {
		d := paired(a, b)
		m, _ := d.compare(metricsOf(d.a, d.b, a.Scenario, nil)[0], 0.99, seed)
		return m
	}
	for seed := range uint64(tries) {
		a, b := sides(seed, n, 1)
		if seed%4 == 0 && len(shown(compared(t, []Result{a}, []Result{b}, Options{Seed: seed}))) > 0 {
			alarms++
		}
		if typical(a, b, seed).Verdict != NoDifference {
			first++
		}
		a, b = sides(seed, n, 1.05)
		if m := typical(a, b, seed); m.Verdict == "slower" && m.High > 1.05 {
			found++
		}
	}
	t.Logf("%d of %d equal ones differ in the first metric, %d of %d in any; 5 %% found: %d", first,
		tries, alarms, tries/4, found)
	// One in a hundred is stated of the first metric, and another one of all others.
	if alarms > 4 || first > 6 || found < 190 {
		t.Errorf("%d alarms (%d in the first metric), %d of %d found", alarms, first, found, tries)
	}
}

// TestPairedComparison says what it is, leaves out pairs without one of their clips, and is the
// same whichever side is named first.
func TestPairedComparison(t *testing.T) {
	a, b := sides(1, 100, 1.2)
	b.Requests[7].Failure, b.Requests[7].Latency = &Failure{Class: FailServer}, 0
	a.Requests = slices.Delete(a.Requests, 20, 21)
	c := compared(t, []Result{a}, []Result{b}, Options{Gate: 0.05})
	if !strings.HasPrefix(c.Design, "paired: 98 clips of each server") || len(c.Notes) == 0 ||
		!strings.HasPrefix(c.Notes[0], "2 pairs are left out") || len(c.Regressions) == 0 {
		t.Errorf("%s; %v; %v", c.Design, c.Notes, c.Regressions)
	}
	m := c.Metrics[0]
	near(t, "ratio", m.Ratio, 1.2, 0.04)
	near(t, "B to A", m.B/m.A, m.Ratio, 1e-9)
	back := compared(t, []Result{b}, []Result{a}, Options{}).Metrics[0]
	near(t, "the other way", back.Ratio*m.Ratio, 1, 1e-9)
	if back.Verdict != "faster" {
		t.Errorf("%+v", back)
	}

	// Rates are of the time in which a server had something to do.
	for _, m := range c.Metrics {
		if m.Name == "clips an hour" && !(m.A > 3600/2 && m.Ratio < 0.95) {
			t.Errorf("%+v", m)
		}
	}

	// Of another run, or with few pairs, nothing is claimed.
	b.Pair.ID = "y"
	if c := compared(t, []Result{a}, []Result{b}, Options{}); strings.HasPrefix(c.Design, "paired") {
		t.Errorf("%s", c.Design)
	}
	for n := 1; n < 9; n++ {
		a, b := sides(1, n, 3)
		m := compared(t, []Result{a}, []Result{b}, Options{}).Metrics[0]
		if n < clipsMin && m.Low != 0 {
			t.Errorf("%d pairs: %+v", n, m)
		}
	}
	a.Pair.Side = "c"
	err := a.Check()
	if err == nil || !strings.Contains(err.Error(), `pair.side is "c"; allowed: a, b`) {
		t.Errorf("%v", err)
	}
}
