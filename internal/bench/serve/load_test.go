package serve

import (
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// TestPoissonArrivals: as many as were asked for, in the window, with gaps whose mean and standard
// deviation are alike, and the same from the same seed.
func TestPoissonArrivals(t *testing.T) {
	const n, window = 20_000, 1000 * time.Second
	at := poisson(stream(7, streamArrivals, 0), n, window)
	if !slices.IsSorted(at) || len(at) != n || at[n-1] >= window || at[0] < 0 {
		t.Fatalf("%d arrivals up to %v", len(at), at[n-1])
	}
	if !slices.Equal(at, poisson(stream(7, streamArrivals, 0), n, window)) {
		t.Error("another time, other arrivals")
	}
	if slices.Equal(at, poisson(stream(8, streamArrivals, 0), n, window)) {
		t.Error("the seed does not matter")
	}
	mean, square := 0.0, 0.0
	for i := 1; i < n; i++ {
		gap := (at[i] - at[i-1]).Seconds()
		mean, square = mean+gap/(n-1), square+gap*gap/(n-1)
	}
	// Of exponential gaps the standard deviation is the mean.
	cv := math.Sqrt(square-mean*mean) / mean
	if math.Abs(cv-1) > 0.03 || math.Abs(mean-0.05) > 0.001 {
		t.Errorf("gaps of %v s, whose variation is %v", mean, cv)
	}
}

// TestSlowAnswersHoldNothingBack: one clip takes 100 s, and those that arrive meanwhile are asked
// for all the same, or, where there is no free place, count their wait from when they were due.
func TestSlowAnswersHoldNothingBack(t *testing.T) {
	for _, limit := range []int{1000, 1} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(Server)
			s.Count, s.Rates, s.InFlight = 100, []float64{1}, limit
			on := newStand(1, 100*time.Millisecond)
			first := true
			on.work = func(target.Request) time.Duration {
				if first {
					first = false
					return 100 * time.Second
				}
				return 100 * time.Millisecond
			}
			r := ran(t, s, on)
			// All others waited for the first one: by the clips' own clocks half of a window on average.
			late := 0
			for _, q := range r.Requests {
				if q.Done()-q.Planned > 20 {
					late++
				}
				if limit > 1 && q.Sent-q.Planned > 0.001 {
					t.Errorf("clip %d was %v s late", q.Index, q.Sent-q.Planned)
				}
			}
			if late < 60 {
				t.Errorf("limit %d: only %d clips saw the slow one", limit, late)
			}
			if p50 := r.Summary.Latency.P50.Value; p50 < 20 {
				t.Errorf("limit %d: the median latency is %v s, which leaves the wait out", limit, p50)
			}
		})
	}
}

// TestSaturationIsFound searches simulated servers whose capacity is known: c slots, each of which
// makes a clip in a fixed time (M/D/c).
func TestSaturationIsFound(t *testing.T) {
	for _, c := range []int{1, 4} {
		for seed := range uint64(1) {
			synctest.Test(t, func(t *testing.T) {
				s := plain(Server)
				s.Seed, s.Count, s.Warmup = seed, 120, 10
				r := ran(t, s, newStand(c, 10*time.Second))
				keeps, saturated := r.SaturationPoint()
				possible := float64(c) / 10
				t.Logf("%d slots, seed %d: %d points, keeps up with %.2f, saturated at %.2f of what is "+
					"possible", c, seed, len(r.Rates), keeps/possible, saturated/possible)
				if keeps < 0.8*possible || keeps > 1.1*possible || saturated > 1.2*possible {
					t.Errorf("%d slots: keeps up with %v/s, saturated at %v/s; possible: %v/s", c, keeps,
						saturated, possible)
				}
				if saturated/keeps > 1.1001 {
					t.Errorf("the search ended at a ratio of %v", saturated/keeps)
				}
			})
		}
	}
}

// TestSearchesEnd whatever a server does, within the rates that are allowed.
func TestSearchesEnd(t *testing.T) {
	f := func(first, precision float64, most int, verdict func(n int) string) {
		t.Helper()
		s, n := newSearch(first, precision), 0
		for ; s.next > 0; n++ {
			if s.next < rateMin || s.next > RateMax || n > most {
				t.Fatalf("point %d is of %v clips a second", n, s.next)
			}
			s.take(verdict(n))
		}
	}
	f(1, 0.1, 1+searchHalvings, func(int) string { return result.Saturated })
	f(1, 0.1, searchPoints, func(int) string { return result.Keeps })
	f(1e9, 0.1, 2, func(int) string { return result.Unclear })
	f(1e-9, 0.01, searchPoints, func(n int) string {
		return []string{result.Keeps, result.Saturated}[n%2]
	})
}

// TestVerdicts counts wrong verdicts over seeds, of servers at a known part of what they can do.
func TestVerdicts(t *testing.T) {
	for _, c := range []int{1, 8} {
		for _, load := range []float64{0.5, 0.8, 1.2, 3} {
			wrong := 0
			for seed := range uint64(5) {
				synctest.Test(t, func(t *testing.T) {
					s := plain(Server)
					s.Seed, s.Count, s.Warmup = seed, 60, 5
					s.Rates = []float64{load * float64(c)}
					r := ran(t, s, newStand(c, time.Second))
					if (r.Rates[0].Verdict == result.Saturated) != (load > 1) {
						wrong++
					}
				})
			}
			t.Logf("%d slots at %v of what is possible: %d of 5 verdicts wrong", c, load, wrong)
			if wrong > 1 {
				t.Errorf("%d slots at %v: %d of 5 verdicts are wrong", c, load, wrong)
			}
		}
	}
}

// TestScenarios looks at what was under way at once, how many clips there were, and their marks.
func TestScenarios(t *testing.T) {
	f := func(s Setup, most, clips int) result.Result {
		t.Helper()
		var r result.Result
		synctest.Test(t, func(t *testing.T) {
			on := newStand(100, 10*time.Second)
			r = ran(t, s, on)
			if on.most != most || len(r.Requests) != clips {
				t.Errorf("%s: %d clips, %d at once; want %d, %d", s.Scenario, len(r.Requests), on.most,
					clips, most)
			}
		})
		return r
	}
	s := plain(SingleStream)
	s.Warmup, s.Rounds = 2, 4
	r := f(s, 1, 22)
	rounds := map[int]int{}
	for i, q := range r.Requests {
		if (q.Phase == result.PhaseWarmup) != (i < 2) {
			t.Errorf("clip %d: %s", i, q.Phase)
		}
		if i >= 2 {
			rounds[q.Round]++
		}
	}
	if len(rounds) != 4 || rounds[0] != 5 || rounds[3] != 5 || r.Summary.Requests != 20 {
		t.Errorf("%v rounds, %d clips count", rounds, r.Summary.Requests)
	}

	s = plain(SingleStream)
	s.Count, s.Duration, s.Warmup = 0, time.Minute, 1
	f(s, 1, 7)
	s = plain(Offline)
	s.InFlight = 8
	if r = f(s, 8, 20); math.Abs(r.Summary.Throughput.Clips-20/30.0*3600) > 1 {
		t.Errorf("%v clips an hour", r.Summary.Throughput.Clips)
	}
	s = plain(Soak)
	s.Rates, s.Count, s.Duration, s.Multiple = []float64{0.01}, 0, 10*time.Hour, 3
	if r = f(s, 3, probed+360); len(r.Notes) != 1 || r.Scenario.ObjectiveSeconds != 30 ||
		r.Summary.Goodput.Met.Value != 1 {
		t.Errorf("%v, %+v", r.Notes, r.Scenario)
	}
}

// TestATraceCountsInFull: warm-up clips are copies of its first ones, made before the others, one
// after the other, and where there are more of them than entries, from its beginning again.
func TestATraceCountsInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(seconds float64) *float64 { return &seconds }
		s := plain(Mixed)
		s.Trace = []Entry{{At: at(0), Frames: 5, prompt: -1}, {At: at(1), Frames: 9, prompt: -1}}
		s.File, s.Count, s.Warmup = &result.Trace{Name: "t"}, 0, 3
		on := newStand(10, 5*time.Second)
		r := ran(t, s, on)
		var made []int
		for _, q := range on.made {
			made = append(made, q.Frames)
		}
		if !slices.Equal(made, []int{5, 9, 5, 5, 9}) || r.Summary.Requests != 2 || on.most != 2 {
			t.Errorf("clips of %v frames, %d count, %d at once", made, r.Summary.Requests, on.most)
		}
	})
}

// TestADeadServerEndsTheRun after a few clips, and a busy one does not.
func TestADeadServerEndsTheRun(t *testing.T) {
	for kind, ends := range map[target.Kind]bool{target.Unreachable: true, target.Refused: false} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(SingleStream)
			s.Count = 50
			on := newStand(1, time.Second)
			on.fail = func(target.Request) error { return &target.Failure{Kind: kind, Message: "no"} }
			b := bench(t, s, on, folder(t))
			err := b.Run(t.Context())
			if n := len(b.clips); (err != nil) != ends || ends && n != hopeless || !ends && n != 50 {
				t.Errorf("%s: %v after %d clips", kind, err, n)
			}
			if r := b.Result(result.Tool{}, err); r.Check() != nil || r.Summary.Completed != 0 {
				t.Errorf("%v", r.Check())
			}
		})
	}
}

// TestFidelity: clips that are others on one shard are counted.
func TestFidelity(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(Offline)
			s.Fidelity = 3
			s.Request.Extra = map[string]any{"mesh": "cfg=2"}
			on := newStand(2, time.Second)
			again := 0
			on.hash = func(r target.Request) string {
				if r.Extra["shards"] == 1 && r.Extra["mesh"] == nil {
					if again++; wrong && again == 2 {
						return "other"
					}
				}
				return r.Prompt
			}
			r := ran(t, s, on)
			if again != 3 || r.Fidelity == nil || r.Fidelity.Compared != 3 ||
				(r.Fidelity.Differences() != "") != wrong {
				t.Errorf("%+v: %q", r.Fidelity, r.Fidelity.Differences())
			}
		})
	}
}

// TestBadSetups: each has one line, which names the flag.
func TestBadSetups(t *testing.T) {
	for flag, change := range map[string]func(*Setup){
		"--scenario is":           func(s *Setup) { s.Scenario = "x" },
		"--count is -1":           func(s *Setup) { s.Count = -1 },
		"--count and --duration":  func(s *Setup) { s.Count = 0 },
		"--count is missing":      func(s *Setup) { s.Scenario, s.Count, s.Duration = Offline, 0, 1 },
		"--rate does not go":      func(s *Setup) { s.Rates = []float64{1} },
		"--rate is NaN":           func(s *Setup) { s.Rates = []float64{math.NaN()} },
		"--rate has 0":            func(s *Setup) { s.Scenario = Soak },
		"--rounds is 0":           func(s *Setup) { s.Rounds = 0 },
		"--max-in-flight is 0":    func(s *Setup) { s.InFlight = 0 },
		"--timeout is 0s":         func(s *Setup) { s.Timeout = 0 },
		"--trace is missing":      func(s *Setup) { s.Scenario = Mixed },
		"--trace does not go":     func(s *Setup) { s.Trace = []Entry{{}} },
		"--faults goes with one":  func(s *Setup) { s.Scenario, s.Faults = Server, []FaultRate{{}} },
		"at least 20 clips":       func(s *Setup) { s.Scenario, s.Count = Server, 5 },
		"there are no prompts":    func(s *Setup) { s.Prompts = nil },
		"--rate is missing":       func(s *Setup) { s.Scenario, s.Trace = Mixed, []Entry{{}} },
		"--duration is missing":   func(s *Setup) { s.Scenario, s.Rates = Soak, []float64{1} },
		"--fidelity is 1001":      func(s *Setup) { s.Fidelity = 1001 },
		"--precision is 0;":       func(s *Setup) { s.Precision = 0 },
		"--objective is -1ns":     func(s *Setup) { s.Objective = -1 },
		"--rate does not go with": func(s *Setup) { s.Scenario, s.Rates = Offline, []float64{1} },
	} {
		s := plain(SingleStream)
		change(&s)
		if err := s.Check(); err == nil || !contains(err, flag) || contains(err, "\n") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if err := errors.Join(plain(Offline).Check(), plain(Server).Check()); err != nil {
		t.Error(err)
	}
}
