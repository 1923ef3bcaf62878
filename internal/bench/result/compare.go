package result

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// falseAlarms is how often at most, of equal servers, the first metric is declared to differ; the
	// others have as much together.
	falseAlarms = 0.01
	// power is how often a difference of Metric.Smallest is found.
	power = 0.8
	// starts is the standard deviation, as a share, that two starts of one program differ by, even on
	// a quiet machine, for where its memory happens to lie (Mytkowicz et al., "Producing wrong data
	// without doing anything obviously wrong", 2009). It counts where one start stands for all.
	starts = 0.005
	// clipsMin is how many clips a side needs at least, and runsMax how many runs it may have.
	clipsMin, runsMax = 8, 1000
)

// Options are how to compare.
type Options struct {
	// Gate is by how much, as a share, B may be worse. Comparison.Regressions names what is clearly
	// worse, and may be so by the gate: one that went by the ratio alone would let every second
	// slowdown of its own size pass.
	Gate float64

	// Across are names of what may differ, of Across.
	Across []string

	// Seed is of the bootstrap.
	Seed uint64
}

// Verdicts of a metric, in Metric.Verdict, besides "faster", "slower" and the like.
const (
	NoDifference = "no difference shown"
	TooFew       = "too few samples to tell"
)

// Metric is one line of a comparison.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`

	A float64 `json:"a"`
	B float64 `json:"b"`

	// Ratio is B to A, from Low to High at the confidence of Confidence.
	Ratio      float64 `json:"ratio"`
	Low        float64 `json:"low,omitzero"`
	High       float64 `json:"high,omitzero"`
	Confidence float64 `json:"confidence,omitzero"`

	// Smallest is the difference, as a share, that would have been found in four of five tries.
	Smallest float64 `json:"smallest_difference,omitzero"`

	Verdict string `json:"verdict"`

	// Worse says that B is worse, clearly; Gates that the gate is for this metric.
	Worse bool `json:"worse,omitzero"`
	Gates bool `json:"gates,omitzero"`
}

// Comparison is what two sides show.
type Comparison struct {
	// Design says what was compared with what, and Differences in what the sides differ by purpose.
	Design      string       `json:"design"`
	Differences []Difference `json:"differences,omitempty"`

	Metrics []Metric `json:"metrics"`

	// Regressions name the metrics in which B is clearly worse, and may be so by the gate.
	Regressions []string `json:"regressions"`
	Gate        float64  `json:"gate"`

	// Notes are sentences that a reader has to know.
	Notes []string `json:"notes,omitempty"`
}

// Compare compares two servers, or two versions of one, by one run of each or several. It returns
// an error of type *ErrIncomparable if they were not measured in the same way.
//
// Two runs that took turns clip by clip (Result.Pair) are compared by their pairs, see pairs.go;
// what follows is of all others.
//
// Standard errors are of a bootstrap of the logarithms of ratios that draws whole blocks (a run, or
// a part of the only run), since requests that follow each other share a machine's moods; intervals
// are Student's, as blocks are few. Blocks of both sides that took turns are drawn in pairs, so
// that a machine that slows down slows both. Where there is one run of a side, the run is taken to
// be as far off as its parts are.
func Compare(a, b []Result, o Options) (Comparison, error) {
	if err := o.check(a, b); err != nil {
		return Comparison{}, err
	}
	differ, err := agree(a, b, o.Across)
	if err != nil {
		return Comparison{}, err
	}

	d := plan(a, b)
	c := Comparison{Design: d.text, Differences: differ, Gate: o.Gate, Metrics: []Metric{},
		Regressions: []string{}, Notes: d.notes(a, b)}

	// What is compared follows from the scenario, and from what both sides tell, never from the
	// values. Every metric more is one more chance to be wrong, so those after the first share
	// theirs.
	list := metricsOf(d.a, d.b, a[0].Scenario, a[0].Rates)
	for i, m := range list {
		confidence := 1 - falseAlarms
		if i > 0 {
			confidence = 1 - falseAlarms/float64(len(list)-1)
		}
		if line, ok := d.compare(m, confidence, o.Seed); ok {
			c.add(line)
		}
	}
	c.add(failures(a, b))
	if o.Gate > 0 && wrongClips(b) > wrongClips(a) {
		c.Regressions = append(c.Regressions, "fidelity")
	}
	if o.Gate > 0 && len(c.Metrics) > 1 && !(c.Metrics[0].Smallest <= o.Gate) {
		c.Notes = append(c.Notes, "These data are too few, or too noisy, to show a difference as small "+
			"as the gate. docs/benchmarking.md says how many runs it takes.")
	}
	return c, nil
}

// check refuses options and sides that make no sense.
func (o Options) check(a, b []Result) error {
	if len(a) == 0 || len(b) == 0 {
		return errors.New("a side has no results; allowed: at least one on each")
	}
	if n := max(len(a), len(b)); n > runsMax {
		return fmt.Errorf("a side has %d results; allowed: up to %d", n, runsMax)
	}

	// A result that was emptied by hand would look like one of too few clips.
	for i, side := range [][]Result{a, b} {
		for _, r := range side {
			if len(inPhase(r.Requests, PhaseMeasure)) == 0 {
				return fmt.Errorf("requests of %c has none of phase %q; allowed: at least one in each result",
					'A'+i, PhaseMeasure)
			}
		}
	}
	if !(o.Gate >= 0 && o.Gate <= 1) {
		return fmt.Errorf("the gate is %v; allowed: 0 to 1", o.Gate)
	}
	for _, name := range o.Across {
		if !slices.Contains(Across, name) {
			return fmt.Errorf("across is %q; allowed: %s", name, strings.Join(Across, ", "))
		}
	}
	return nil
}

// add appends a line, and what it means for the gate. Queue waits and stages are for whoever looks
// for the reason; their users notice the latency that they are part of.
func (c *Comparison) add(m Metric) {
	c.Metrics = append(c.Metrics, m)
	if m.Worse && m.Gates && m.worst() >= c.Gate {
		c.Regressions = append(c.Regressions, m.Name)
	}
}

// worst is the most by which B may be worse, as a share. Of what is only counted, such as failures,
// any more are too many for every gate.
func (m Metric) worst() float64 {
	switch {
	case m.High == 0:
		return 1
	case m.Ratio > 1:
		return m.High - 1
	}
	return 1 - m.Low
}

// compare makes the line of a metric. It is false if a side has no such figure.
func (d design) compare(m metric, confidence float64, seed uint64) (Metric, bool) {
	fa, fb := m.prepare(d.a), m.prepare(d.b)
	if fa == nil || fb == nil {
		return Metric{}, false
	}
	line := Metric{Name: m.name, Unit: m.unit, Gates: m.gates, Verdict: TooFew}
	line.A, line.B = fa(ones(d.a)), fb(ones(d.b))
	if !(line.A > 0 && line.B > 0) {
		return Metric{}, false
	}

	// Ratios are compared by their logarithms: twice as fast and half as fast are then equally far
	// from no difference.
	line.Ratio = line.B / line.A

	// Too few of anything is said as such: "no difference shown" would sound like a finding.
	var e, df float64
	if m.paired && d.ratios != nil {
		line.A, line.B, e, df = d.byPairs()
		line.Ratio = line.B / line.A
	} else {
		e, df = d.deviation(fa, fb, seed)
	}
	if n := min(len(d.a.requests), len(d.b.requests)); n < max(clipsMin, m.needs) || !(df >= 1) ||
		math.IsNaN(e) {
		return line, true
	}
	student := distuv.StudentsT{Sigma: 1, Nu: df}
	beyond := student.Quantile(0.5 + confidence/2)
	line.Confidence = confidence
	line.Low = line.Ratio * math.Exp(-beyond*e)
	line.High = line.Ratio * math.Exp(beyond*e)
	line.Smallest = math.Expm1((beyond + student.Quantile(power)) * e)

	switch {
	case line.High < 1:
		line.Verdict, line.Worse = m.less, m.higher
	case line.Low > 1:
		line.Verdict, line.Worse = m.more, !m.higher
	default:
		line.Verdict = NoDifference
	}
	return line, true
}

// ones draws every block once: the figure as it was measured.
func ones(s side) []float64 { return slices.Repeat([]float64{1}, len(s.tallies)) }

// deviation returns the standard deviation of the logarithm of b to a, and its degrees of freedom;
// 0 of them if there are too few blocks.
func (d design) deviation(fa, fb func([]float64) float64, seed uint64) (e, df float64) {
	ka, kb := len(d.a.tallies), len(d.b.tallies)
	if d.turns || d.single && ka == kb {
		e, df = d.together(fa, fb, seed), float64(ka-1)
		if d.single && !d.turns {
			e *= math.Sqrt(float64(ka)) // of a part: the whole run may be as far off
		}
	} else {
		va, vb := variance(fa, ka, seed), variance(fb, kb, seed+1)
		if d.single {
			va, vb = va*float64(ka), vb*float64(kb)
		}
		e, df = welch(va, vb, ka, kb)
	}

	// A single start may lie badly in memory throughout, which no part of the run shows.
	if d.single {
		e = math.Sqrt(e*e + 2*starts*starts)
	}
	return e, df
}

// together draws blocks of both sides in pairs: what a pair has in common, such as the hour at
// which it was measured, is not in their ratio.
func (d design) together(fa, fb func([]float64) float64, seed uint64) float64 {
	k := len(d.a.tallies)
	return math.Sqrt(spread(k, seed, func(counts []float64) float64 {
		return math.Log(fb(counts) / fa(counts))
	}))
}

// variance is that of the logarithm of one side's figure. Sides that did not take turns vary on
// their own accounts, and their variances add up.
func variance(f func([]float64) float64, k int, seed uint64) float64 {
	if k < 2 {
		return 0
	}
	return spread(k, seed, func(counts []float64) float64 { return math.Log(f(counts)) })
}

// welch adds up the variances of both sides, with the degrees of freedom of Welch and Satterthwaite
// (1947). A side of one block is taken to vary as a block of the other does.
func welch(va, vb float64, ka, kb int) (e, df float64) {
	switch {
	case ka < 2 && kb < 2:
		return 0, 0
	case ka < 2:
		return math.Sqrt(vb * float64(kb+1)), float64(kb - 1)
	case kb < 2:
		return math.Sqrt(va * float64(ka+1)), float64(ka - 1)
	case va+vb == 0:
		return 0, float64(ka + kb - 2)
	}
	total := va + vb
	return math.Sqrt(total), total * total / (va*va/float64(ka-1) + vb*vb/float64(kb-1))
}

// spread is the bootstrap's variance of a figure of k blocks, times k/(k-1), by which drawing from
// k blocks falls short. Draws that have no figure are left out.
func spread(k int, seed uint64, f func([]float64) float64) float64 {
	if k < 2 {
		return math.NaN()
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	counts := make([]float64, k)
	var n, mean, m2 float64
	for range resamples {
		clear(counts)
		for range k {
			counts[rng.IntN(k)]++
		}
		v := f(counts)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		n++ // Welford's sums (1962)
		delta := v - mean
		mean += delta / n
		m2 += delta * (v - mean)
	}

	if n < resamples/2 {
		return math.NaN()
	}
	return m2 / (n - 1) * float64(k) / float64(k-1)
}
