package engine

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// TestStepsAreMetered: a step is computing and waiting, and of many steps a rank tells parts.
func TestStepsAreMetered(t *testing.T) {
	var m stepMeter
	m.waited = time.Second
	m.done(3 * time.Second)
	m.waited = 9 * time.Second // of a clock that jumped
	m.done(4 * time.Second)
	if got := m.report(); !slices.Equal(got, []float64{5, 2, 0}) || m.longest != 4*time.Second {
		t.Errorf("%v, %v", got, m.longest)
	}

	m = stepMeter{}
	for range 100 {
		m.done(time.Second)
	}
	sum := 0.0
	for _, v := range m.parts() {
		sum += v
	}
	if n := len(m.parts()); n != stepParts || math.Abs(sum-100) > 1e-9 {
		t.Errorf("%d parts of %v s", n, sum)
	}
}

// TestTheStragglerIsFound among ranks, with how much slower it is and how steadily.
func TestTheStragglerIsFound(t *testing.T) {
	s := rankStats([][]float64{{6, 1, 1, 1, 1}, {2, 2, 2, 2, 2}, {3, 1, 1, 3, 2}})
	if s.Slowest != 1 || s.SlowestSteps != 0.75 || s.Straggling() != 8.0/7 ||
		s.Compute != (job.Spread{Min: 4, Median: 7, Max: 8}) ||
		s.Wait != (job.Spread{Min: 2, Median: 3, Max: 6}) ||
		math.Abs(s.Communication-(0.6+0.2+0.3)/3) > 1e-9 {
		t.Errorf("%+v", s)
	}
}

// TestResultsTellOfTheirRanks on meshes that exchange in each way: what ranks have sent is what the
// result counts, and they have computed.
func TestResultsTellOfTheirRanks(t *testing.T) {
	g := golden.Open(t, "tiny3_e2e")
	for _, m := range []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 2}, {CFG: 2, Ulysses: 1}} {
		engines := make([]*Engine, m.Size())
		for i := range engines {
			engines[i] = engine(t, 1, "testdata", "golden", "tiny3")
		}
		res, _ := generate(t, engines, inMemory(t, m.Size()), spec(g), m)
		s, ok := res.Ranks()
		if !ok || s.Communication < 0 || s.Communication >= 1 || s.Compute.Min <= 0 ||
			s.SlowestSteps <= 0 || s.SlowestStep < res.StepSeconds || s.Slowest >= m.Size() {
			t.Errorf("%v: %+v, %v", m, s, ok)
		}
		if sent := s.Sent.Min + s.Sent.Max; m.Size() == 2 && sent != float64(res.BytesExchanged) {
			t.Errorf("%v: ranks have sent %v bytes, the result has %d", m, sent, res.BytesExchanged)
		}
		if waits := s.Wait.Max > 0; waits != (m.Size() > 1) {
			t.Errorf("%v: a rank has waited %v s", m, s.Wait.Max)
		}
	}
}

// TestRanksOfTheReleaseBefore tell nothing of their steps, and the clip is made all the same.
func TestRanksOfTheReleaseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := mem.NewWorld(3, mem.Options{})
		run := func(rank int) *run {
			r := &run{Assignment: Assignment{Rank: rank, Transport: world[rank]}}
			r.meter.done(time.Second)
			return r
		}
		if err := run(1).sendReport(t.Context()); err != nil {
			t.Fatal(err)
		}
		var res job.Result
		err := run(0).collectReports(t.Context(), []float64{1, 2, 3}, &res)
		if err != nil || res.Extra != nil {
			t.Errorf("%+v, %v", res.Extra, err)
		}
	})
}
