package result

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// shown returns the verdicts of metrics that say that the sides differ.
func shown(c Comparison) []string {
	var out []string
	for _, m := range c.Metrics {
		if m.Verdict != NoDifference && m.Verdict != TooFew {
			out = append(out, m.Name+" "+m.Verdict)
		}
	}
	return out
}

func compared(t *testing.T, a, b []Result, o Options) Comparison {
	t.Helper()
	c, err := Compare(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Fatal(err) // a figure is not a number
	}
	return c
}

// TestHowOftenDifferencesAreShown counts, over many machines, how often equal servers are called
// different, in any metric, and how often one that is 5 % slower is found. docs/benchmarking.md has
// what LONGTAKE_LONG=1 prints.
func TestHowOftenDifferencesAreShown(t *testing.T) {
	seeds := 40
	if os.Getenv("LONGTAKE_LONG") != "" {
		seeds = 400
	}
	f := func(name string, on func(uint64) *machine, runs, n int, alarms, found float64) {
		t.Helper()
		var wrong, right int
		for seed := range uint64(seeds) {
			a, b := on(seed).inTurns(runs, n, 1)
			if len(shown(compared(t, a, b, Options{Seed: seed}))) > 0 {
				wrong++
			}
			a, b = on(seed).inTurns(runs, n, 1.05)
			c := compared(t, a, b, Options{Seed: seed})
			if len(c.Regressions) > 0 && c.Metrics[0].Ratio > 1 {
				right++
			}
		}
		a, p := float64(wrong)/float64(seeds), float64(right)/float64(seeds)
		t.Logf("%s, %d x %d: %.1f %% false alarms, %.0f %% found", name, runs, n, 100*a, 100*p)
		if a > alarms || p < found {
			t.Errorf("%s, %d x %d: false alarms in %.3f, allowed %.3f; 5 %% found in %.2f, want %.2f",
				name, runs, n, a, alarms, p, found)
		}
	}
	// Of 40 seeds one or two may alarm by chance, at 1 to 2 in a hundred.
	f("quiet", quiet, 1, 50, 0.05, 0.9)
	f("quiet", quiet, 5, 10, 0.1, 0.95)
	f("shared", shared, 8, 10, 0.05, 0.8)
	if seeds > 40 {
		f("quiet", quiet, 1, 20, 0.02, 0)
		f("quiet", quiet, 3, 20, 0.02, 0)
		f("shared", shared, 1, 50, 0.02, 0)
		f("shared", shared, 5, 20, 0.02, 0)
		f("shared", shared, 8, 20, 0.02, 0)
		f("shared", shared, 12, 10, 0.02, 0)
	}
}

func TestRoundsThatTookTurns(t *testing.T) {
	// One process a side, but rounds of both in turn: each waits while the other measures.
	m := shared(4)
	a, b := m.inTurns(8, 10, 1.08)
	joined := func(runs []Result) Result {
		out := runs[0]
		for i, r := range runs[1:] {
			for _, q := range r.Requests {
				q.Round = i + 1
				q.Sent += r.Started.Sub(out.Started).Seconds()
				q.Planned = q.Sent
				out.Requests = append(out.Requests, q)
			}
			out.Finished = r.Finished
		}
		return out
	}
	c := compared(t, []Result{joined(a)}, []Result{joined(b)}, Options{})
	if !strings.Contains(c.Design, "in 8 and 8 parts that took turns; 80 requests") {
		t.Errorf("design: %s", c.Design)
	}
	if len(c.Regressions) == 0 {
		t.Errorf("8 %% were not found: %+v", c.Metrics[0])
	}
	if slices.ContainsFunc(c.Notes, func(s string) bool { return strings.Contains(s, "One run") }) {
		t.Errorf("notes: %v", c.Notes)
	}
}

func TestTheGate(t *testing.T) {
	a, b := quiet(1).inTurns(6, 10, 1.08)
	if c := compared(t, a, b, Options{Gate: 0.05}); len(c.Regressions) == 0 {
		t.Errorf("8 %% pass a gate of 5 %%: %+v", c.Metrics[0])
	}
	if c := compared(t, a, b, Options{Gate: 0.2}); len(c.Regressions) > 0 || len(shown(c)) == 0 {
		t.Errorf("8 %% and a gate of 20 %%: %v, shown %v", c.Regressions, shown(c))
	}
	// A gate of the slowdown's own size lets it pass only if the interval ends below it.
	for seed := range uint64(20) {
		a, b := quiet(seed).inTurns(6, 10, 1.05)
		if c := compared(t, a, b, Options{Gate: 0.05}); len(c.Regressions) == 0 {
			t.Errorf("seed %d: 5 %% pass a gate of 5 %%: %+v", seed, c.Metrics[0])
		}
	}
	c := compared(t, b, a, Options{})
	if len(c.Regressions) > 0 || c.Metrics[0].Verdict != "faster" || c.Metrics[0].Worse {
		t.Errorf("the faster side: %v, %+v", c.Regressions, c.Metrics[0])
	}
	near(t, "ratio", c.Metrics[0].Ratio, 1/1.08, 0.01)
}

func TestFailuresCount(t *testing.T) {
	a, b := quiet(1).inTurns(3, 20, 1)
	for i := range 9 {
		q := &b[i%3].Requests[i]
		q.Failure, q.Latency = &Failure{Class: FailServer}, 0
	}
	c := compared(t, a, b, Options{Gate: 0.05})
	if !slices.Contains(c.Regressions, "requests without a clip") {
		t.Errorf("regressions: %v", c.Regressions)
	}
	// Fisher's own table of a lady who tastes tea: 3 of 4 cups right by chance, one-sided 0.243.
	near(t, "p", fisher(3, 4, 1, 4), 2*0.242857, 1e-5)
	near(t, "p of nothing", fisher(0, 10, 0, 10), 1, 1e-9)
}

func TestTooFewSamplesAreSaid(t *testing.T) {
	a, b := quiet(1).inTurns(1, 6, 2)
	c := compared(t, a, b, Options{})
	if c.Metrics[0].Verdict != TooFew || len(c.Regressions) > 0 {
		t.Errorf("6 clips a side: %+v", c.Metrics[0])
	}
	for n := 1; n < 4; n++ {
		a, b = quiet(1).inTurns(1, n, 2)
		for _, m := range compared(t, a, b, Options{Gate: 0.05}).Metrics {
			if m.Worse {
				t.Errorf("%d clips a side: %+v", n, m)
			}
		}
	}
	a, b = quiet(1).inTurns(4, 10, 1)
	for _, m := range compared(t, a, b, Options{}).Metrics {
		if want := m.Name == "latency p99"; (m.Verdict == TooFew) != want {
			t.Errorf("40 clips a side: %+v", m)
		}
	}
	for _, r := range b {
		for i := range r.Requests {
			r.Requests[i].Latency, r.Requests[i].Failure = 0, &Failure{Class: FailServer}
		}
	}
	if c = compared(t, a, b, Options{}); !slices.Contains(c.Regressions, "requests without a clip") {
		t.Errorf("no clips at all: %+v", c.Metrics)
	}
}

func TestOneRunAgainstSeveral(t *testing.T) {
	m := quiet(3)
	a, _ := m.inTurns(5, 10, 1)
	b := []Result{m.clips(10, 1, 1.1)}
	if c := compared(t, a, b, Options{}); len(c.Regressions) == 0 {
		t.Errorf("10 %% slower: %+v", c.Metrics[0])
	}
	e, df := welch(4, 0, 5, 1)
	near(t, "deviation", e, math.Sqrt(24), 1e-12)
	near(t, "degrees of freedom", df, 4, 0)
}

func TestWhatIsNotComparable(t *testing.T) {
	f := func(change func(*Result), across []string, want string) {
		t.Helper()
		a, b := plain(10), plain(10)
		change(&b)
		_, err := Compare([]Result{a}, []Result{b}, Options{Across: across})
		var not *ErrIncomparable
		if want == "" && err != nil || want != "" && (!errors.As(err, &not) ||
			!strings.HasSuffix(err.Error(), want)) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	f(func(r *Result) { r.Cohort.Version = "2" }, nil, "")
	f(func(r *Result) { r.Cohort.DType = "bf16" }, nil,
		"they differ in dtype (, bf16); to compare across that: --across dtype")
	f(func(r *Result) { r.Cohort.DType = "bf16" }, []string{"dtype"}, "")
	f(func(r *Result) { r.Cohort.Devices = []Device{{Kind: "GPU", Count: 4}} }, []string{"dtype"},
		"they differ in devices (2 x GPU, 4 x GPU); to compare across that: --across devices")
	f(func(r *Result) { r.Scenario.Seed, r.Cohort.Model = 2, "x" }, nil,
		"they differ in model (demo, x), seed (1, 2)")
	f(func(r *Result) { r.Dataset.SHA256 = "f" }, Across, "they differ in dataset (words , words f)")
	f(func(r *Result) { r.Scenario.Concurrency = 3 }, Across,
		"they differ in concurrency (0, 3)")

	// A result that somebody has emptied compares with nothing.
	a, b := plain(10), plain(10)
	b.Requests = []Request{}
	_, err := Compare([]Result{a}, []Result{a, b}, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), `requests of B has none of phase "mea`) {
		t.Errorf("got %v", err)
	}

	a, b = plain(10), plain(10)
	b.Cohort.Version = "2"
	if _, err := Compare([]Result{a, b}, []Result{a}, Options{}); err == nil ||
		!strings.HasPrefix(err.Error(), "runs of one side are of different kinds") {
		t.Errorf("got %v", err)
	}
	for want, o := range map[string]Options{"the gate is 2; allowed: 0 to 1": {Gate: 2},
		`across is "x"; allowed: product,`: {Across: []string{"x"}}} {
		if _, err := Compare([]Result{a}, []Result{a}, o); err == nil ||
			!strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}
