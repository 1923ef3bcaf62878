package serve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// A setup is a value: what it says decides on every clip of a run, and nothing else does, neither
// the clock nor the server. Two results with equal setups differ by what was measured. Prompts and
// the trace's entries are left out of its JSON, as they may be of many megabytes, and are in it by
// their hashes.

// Scenario is a way of asking for clips.
type Scenario string

// Scenarios. The names of the first three are MLPerf's.
const (
	SingleStream Scenario = "single-stream" // the next clip is asked for when the last one is there
	Offline      Scenario = "offline"       // all clips wait already; how many are made in a time
	Server       Scenario = "server"        // clips arrive at random times, at one rate or several
	Mixed        Scenario = "mixed"         // clips of all kinds arrive as a trace says
	Soak         Scenario = "soak"          // one rate for hours, and what changes meanwhile
)

// Scenarios lists all of them.
func Scenarios() []Scenario { return []Scenario{SingleStream, Offline, Server, Mixed, Soak} }

// open reports whether arrivals wait for no answer.
func (s Scenario) open() bool { return s == Server || s == Mixed || s == Soak }

// Limits of a setup. A count of clips is bounded by what a result may have; a rate from above by
// what one machine can ask for, and from below by what anybody would wait for. They keep a slip of
// the finger from filling memory or a server.
const (
	CountMax    = 100_000              // clips of a point, or of a whole run of one
	DurationMax = 30 * 24 * time.Hour  // of a run
	InFlightMax = 10_000               // clips under way
	RateMax     = 1000.0               // clips a second
	PointsMax   = 64                   // rates of a sweep
	RoundsMax   = 1000                 // blocks
	psnrMax     = 100                  // dB
	FidelityMax = 1000                 // clips that are made again
	timeoutMax  = 7 * 24 * time.Hour   // of a clip
	rateMin     = 1.0 / (24 * 60 * 60) // clips a second
)

// Setup is what is measured. Its JSON is in the journal: only the same setup goes on with it.
type Setup struct {
	Scenario Scenario `json:"scenario"`
	// Seed decides on everything that is random: arrivals, seeds of clips, the order of prompts,
	// faults, which clips are made again.
	Seed uint64 `json:"seed"`
	// Request is what all clips have, but for prompt and seed; Prompts are given out in an order that
	// the seed decides on, each once before one comes again. The dataset says which they are.
	Request target.Request   `json:"request"`
	Prompts []prompts.Prompt `json:"-"`
	Dataset result.Dataset   `json:"dataset"`

	// Count is how many clips are measured (of a point, in a sweep), Duration for how long new ones
	// are asked for. One of them is enough; where both are set, the first to be reached ends it.
	Count    int           `json:"count,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Warmup clips come first and do not count, at each point of a sweep.
	Warmup int `json:"warmup"`
	// Rounds are blocks of clips, for comparisons in pairs.
	Rounds int `json:"rounds"`
	// InFlight bounds the clips under way. An open loop waits for a free place, and counts that wait
	// as latency.
	InFlight int `json:"max_in_flight"`

	// Rates are clips a second; of server without one, saturation is searched for.
	Rates []float64 `json:"rates,omitempty"`
	// Precision is when a search ends: when the highest rate that was kept up with and the lowest
	// that was not are this part of each other apart.
	Precision float64 `json:"precision,omitempty"`
	// Trace is the clips of mixed, File what they were read from.
	Trace []Entry       `json:"-"`
	File  *result.Trace `json:"trace,omitempty"`

	// Timeout is of one clip, from when it was sent.
	Timeout time.Duration `json:"timeout_ns"`
	// Objective is the latency up to which a clip counts as goodput; 0: Multiple times the median of
	// single clips, which are the warm-up's. Both 0: no objective.
	Objective time.Duration `json:"objective_ns,omitempty"`
	Multiple  float64       `json:"objective_multiple,omitempty"`
	// Fidelity clips are made again and compared; 0: none.
	Fidelity int `json:"fidelity"`
	// PSNR is from which on such a clip is alike, in dB, where it need not be equal; Reference is the
	// server that makes it, "" for the measured one.
	PSNR      float64 `json:"psnr,omitempty"`
	Reference string  `json:"reference,omitempty"`
	// Faults are what goes wrong, by what is done and how often an hour.
	Faults []FaultRate `json:"faults,omitempty"`
	// Side is SideA or SideB of a run that asks two servers in turn, else "".
	Side string `json:"side,omitempty"`
	// Resolve is the difference, as a share, that two servers are compared until they would show, in
	// four of five tries; Count and Duration are then the most. 0: they alone decide.
	Resolve float64 `json:"resolve,omitempty"`
	// Embedded: the servers were started for this run.
	Embedded bool `json:"embedded,omitempty"`
}

// Check refuses what makes no sense. Errors name flags.
func (s Setup) Check() error {
	if !slices.Contains(Scenarios(), s.Scenario) {
		return fmt.Errorf("--scenario is %q; allowed: %s", s.Scenario, names())
	}
	f := func(flag string, value any, ok bool, allowed string) error {
		if ok {
			return nil
		}
		return fmt.Errorf("--%s is %v; allowed: %s", flag, value, allowed)
	}

	for _, err := range []error{
		f("count", s.Count, s.Count >= 0 && s.Count <= CountMax, fmt.Sprintf("1 to %d", CountMax)),
		f("duration", s.Duration, s.Duration >= 0 && s.Duration <= DurationMax,
			fmt.Sprintf("up to %v", DurationMax)),
		f("warmup", s.Warmup, s.Warmup >= 0 && s.Warmup <= CountMax,
			fmt.Sprintf("0 to %d", CountMax)),
		f("rounds", s.Rounds, s.Rounds >= 1 && s.Rounds <= RoundsMax,
			fmt.Sprintf("1 to %d", RoundsMax)),
		f("max-in-flight", s.InFlight, s.InFlight >= 1 && s.InFlight <= InFlightMax,
			fmt.Sprintf("1 to %d", InFlightMax)),
		f("rate", s.Rates, len(s.Rates) <= PointsMax, fmt.Sprintf("up to %d rates", PointsMax)),
		f("precision", s.Precision, s.Precision >= 0.01 && s.Precision <= 1, "0.01 to 1"),
		f("timeout", s.Timeout, s.Timeout > 0 && s.Timeout <= timeoutMax,
			fmt.Sprintf("above 0, up to %v", timeoutMax)),
		f("objective", s.Objective, s.Objective >= 0 && s.Objective <= timeoutMax,
			fmt.Sprintf("up to %v", timeoutMax)),
		f("objective", s.Multiple, s.Multiple >= 0 && s.Multiple <= 1e6, "such as 60s or 3x"),
		f("fidelity", s.Fidelity, s.Fidelity >= 0 && s.Fidelity <= FidelityMax,
			fmt.Sprintf("0 to %d", FidelityMax)),
		f("psnr", s.PSNR, s.PSNR >= 0 && s.PSNR <= psnrMax, fmt.Sprintf("0 to %d dB", psnrMax)),
	} {
		if err != nil {
			return err
		}
	}
	return s.checkScenario()
}

// checkScenario refuses what one scenario does not go with. A flag that would be ignored misleads:
// who sets it expects that it matters.
func (s Setup) checkScenario() error {
	for _, r := range s.Rates {
		if !(r >= rateMin && r <= RateMax) { // nor NaN
			return fmt.Errorf("--rate is %v clips a second; allowed: %.2g (one a day) to %v", r, rateMin,
				RateMax)
		}
	}

	switch {
	case s.Scenario != Mixed && s.Count == 0 && s.Duration == 0:
		return errors.New("--count and --duration are missing; allowed: one of them, or both")
	case s.Scenario == Offline && s.Count == 0:
		return errors.New("--count is missing; --scenario offline measures how long so many clips take")
	case s.Scenario == Server && len(s.Rates) == 0 && s.Count < result.JudgeMin:
		return fmt.Errorf("--count is %d; allowed: at least %d clips a point, to search for saturation "+
			"(or give --rate)", s.Count, result.JudgeMin)
	case s.Scenario == Soak && len(s.Rates) != 1:
		return fmt.Errorf("--rate has %d rates; allowed: one, with --scenario soak", len(s.Rates))
	case s.Scenario == Soak && s.Duration == 0:
		return errors.New("--duration is missing; --scenario soak runs for so long, such as 8h")
	case !s.Scenario.open() && len(s.Rates) > 0:
		return fmt.Errorf("--rate does not go with --scenario %s; allowed: server, soak, mixed",
			s.Scenario)
	case len(s.Faults) > 0 && s.Scenario == Server && len(s.Rates) != 1:
		return errors.New("--faults goes with one rate; allowed: --scenario server --rate RATE, or " +
			"another scenario")
	case s.Reference != "" && (s.Fidelity == 0 || len(s.Faults) > 0):
		return errors.New("--reference goes with --fidelity from 1 on, and not with --faults")
	case len(s.Prompts) == 0:
		return errors.New("there are no prompts; allowed: --prompts with a file that has some")
	}
	return cmp.Or(s.checkTrace(), s.checkSide())
}

// checkTrace refuses a trace without its scenario, and times that are there twice or not at all.
func (s Setup) checkTrace() error {
	timed := len(s.Trace) > 0 && s.Trace[0].At != nil
	switch {
	case s.Scenario == Mixed && len(s.Trace) == 0:
		return errors.New("--trace is missing; --scenario mixed asks for the clips of a trace")
	case s.Scenario != Mixed && len(s.Trace) > 0:
		return fmt.Errorf("--trace does not go with --scenario %s; allowed: mixed", s.Scenario)
	case timed && len(s.Rates) > 0:
		return errors.New("--rate does not go with a trace that has times (at)")
	case s.Scenario == Mixed && !timed && len(s.Rates) != 1:
		return errors.New("--rate is missing; a trace without times (at) needs one")
	}
	return nil
}

// Errors of Check begin with the flag, as those of package cli do: nothing else makes setups of
// what people write.

// names lists the scenarios for people.
func names() string {
	var out []string
	for _, s := range Scenarios() {
		out = append(out, string(s))
	}
	return strings.Join(out, ", ")
}
