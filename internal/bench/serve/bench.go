package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/job"
)

// probed is how many clips are made one after the other where a setup needs to know how long a
// single clip takes; the first of them finds caches cold, and is left out.
const probed = 4

// warming is the number of the pass that warms an offline or a mixed run up. Others count from 0.
const warming = -1

// A scenario is made of passes: one for most, one for each rate of a sweep, two where things go
// wrong on purpose, and before them, where the setup asks for it, one of single clips. Passes have
// numbers in the journal, so that what was done of which is known after an interruption.

// Bench carries a setup out. Its fields are set by the caller; Run is called once.
type Bench struct {
	Setup   Setup
	Target  target.Target
	Journal *Journal
	// Tell is called with progress, by one goroutine at a time; nil: nobody wants to know.
	Tell func(Status)
	// Turns are taken with the bench of the other side, where Setup.Side says that there is one.
	Turns *Turns
	// Reference makes the clips that others are compared with; nil: the server itself does. Files of
	// wrong clips are left in Dir.
	Reference *Reference
	Dir       string
	// Disturber does what the setup's faults say; nil where there are none.
	Disturber Disturber

	// Losses tells which attempts of a clip were lost, as far as the server knows; nil: it does not.
	Losses func(ctx context.Context, id string) ([]job.Loss, error)
	clock  clock
	slots  []Slot // of all passes so far: a clip's index is its place
	// What Run found: the clips of all passes, the points of a sweep, the time of a single clip.
	clips  []result.Request
	rates  []float64
	single float64 // seconds
	notes  []string
	cost   *result.Faults
}

// Run asks for all clips, and returns when the last one has ended. An error is why not all were
// asked for; Result has what there is in either case.
func (b *Bench) Run(ctx context.Context) error {
	b.clock = startClock(b.Journal.clock())
	defer b.Turns.leave(b.Setup.Side)
	err := b.passes(ctx)
	if err == nil {
		err = b.Turns.both(ctx, b.Setup.Side)
	}
	if err == nil {
		err = b.compare(ctx)
	}

	if interrupted(err) && ctx.Err() != nil {
		return errors.New("interrupted; the same command goes on with what is missing")
	}
	if err != nil {
		return err
	}
	return b.Journal.add(entry{Complete: true})
}

// passes makes those of the scenario.
func (b *Bench) passes(ctx context.Context) error {
	s := b.Setup
	searching := s.Scenario == Server && len(s.Rates) == 0
	if searching || s.Multiple > 0 {
		if err := b.probe(ctx); err != nil {
			return err
		}
	}

	// All clips of offline are asked for at once, so those of a warm-up have to come before; and all
	// of a trace count, so that its warm-up is of clips beside them.
	if (s.Scenario == Offline || s.Scenario == Mixed) && s.Warmup > 0 {
		clips, err := b.do(ctx, pass{n: warming, what: "warm-up", phase: result.PhaseWarmup,
			single: s.Warmup, resumable: true})
		b.clips = append(b.clips, clips...)
		if err != nil {
			return err
		}
	}

	switch {
	case len(s.Faults) > 0:
		return b.disturbed(ctx)
	case searching:
		return b.search(ctx)
	case s.Scenario == Server:
		for _, rate := range s.Rates {
			if _, err := b.rate(ctx, rate); err != nil {
				return err
			}
		}
		return nil
	}

	p := pass{n: 1, what: string(s.Scenario), phase: result.PhaseMeasure, resumable: true}
	if len(s.Rates) > 0 {
		p.rate = s.Rates[0]
	}

	clips, err := b.do(ctx, p)
	b.clips = append(b.clips, clips...)
	return err
}

// Single clips say two things that a setup may need: what a latency objective of 3x is three times
// of, and where a search for saturation has to begin.

// probe finds out how long a clip takes that is alone.
func (b *Bench) probe(ctx context.Context) error {
	clips, err := b.do(ctx, pass{what: "single clips", phase: result.PhaseWarmup, single: probed,
		resumable: true})
	b.clips = append(b.clips, clips...)
	if err != nil {
		return err
	}

	var made []result.Request
	for _, q := range clips[1:] {
		if q.OK() {
			made = append(made, q)
		}
	}

	if b.single = median(made, latency); b.single <= 0 {
		return fmt.Errorf("no single clip could be made: %s", clips[0].Failure.Message)
	}
	return nil
}

// rate measures a point of a sweep, and says whether the server keeps up with it.
func (b *Bench) rate(ctx context.Context, rate float64) (verdict string, err error) {
	n := len(b.rates)
	b.rates = append(b.rates, rate)
	clips, err := b.do(ctx, pass{n: n + 1, what: fmt.Sprintf("rate %.3g/s", rate),
		phase: result.PhaseMeasure, point: n, rate: rate})
	b.clips = append(b.clips, clips...)
	verdict, _ = result.Judge(counted(clips))
	return verdict, err
}

// search looks for the rate at which the server is saturated.
func (b *Bench) search(ctx context.Context) error {
	// One that makes one clip at a time keeps up with half of the rate at which single clips end.
	s := newSearch(0.5/b.single, b.Setup.Precision)
	for s.next > 0 {
		verdict, err := b.rate(ctx, s.next)
		if err != nil {
			return err
		}
		s.take(verdict)
	}

	// A search without one of its two ends has found none of what it was for.
	if s.high == 0 {
		b.note("No rate of the search saturated the server.")
	}

	if s.low == 0 {
		b.note("The server kept up with no rate, and the search ended at %.3g clips a second.", s.high)
	}
	return nil
}

// counted are the clips of a pass that are no warm-up.
func counted(clips []result.Request) (out []result.Request) {
	for _, q := range clips {
		if q.Phase != result.PhaseWarmup {
			out = append(out, q)
		}
	}
	return out
}

// Notes are for whatever a reader would misread the figures without: an end that came early, a clip
// that could not be compared, a search that found nothing.

// note adds a sentence for readers of the result.
func (b *Bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// objective is up to which latency a clip counts as goodput, in seconds; 0: there is none.
func (b *Bench) objective() float64 {
	if b.Setup.Objective > 0 {
		return b.Setup.Objective.Seconds()
	}
	return b.Setup.Multiple * b.single
}

// Result sums up what there is. failed is what Run returned.
func (b *Bench) Result(tool result.Tool, failed error) result.Result {
	s, h := b.Setup, b.Journal.head
	end := b.Journal.clock()
	r := result.Result{Schema: result.Version, Tool: tool, Started: h.Started,
		Finished: h.Started.Add(seconds(end)), Scenario: s.scenario(), Cohort: h.Cohort,
		Dataset: s.Dataset, Pair: b.Turns.pair(s.Side), Requests: b.clips,
		Fidelity: b.Journal.again, Faults: b.cost, Notes: b.notes}
	r.Scenario.ObjectiveSeconds = b.objective()
	r.Cohort.Mesh = cmp.Or(r.Cohort.Mesh, meshOf(b.clips))
	for _, rate := range b.rates {
		r.Rates = append(r.Rates, result.Rate{Offered: rate, Verdict: result.Unclear})
	}

	if why := b.Turns.why(); failed == nil && why != "" {
		r.Notes = append(r.Notes, why)
	}
	if failed != nil {
		r.Notes = append(r.Notes, "The run is incomplete: "+failed.Error()+".")
	}
	if n := b.Journal.sessions; n > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("The run was interrupted and went on %d times; its clock "+
			"stood still between.", n-1))
	}

	r.Notes = append(r.Notes, drifts(s, b.clips)...)
	r.Summarize()
	return r
}

// meshOf is the only mesh in which clips were made, "" if there are several or none.
func meshOf(clips []result.Request) (mesh string) {
	for _, q := range clips {
		switch {
		case q.Mesh == "" || q.Mesh == mesh:
		case mesh != "":
			return ""
		default:
			mesh = q.Mesh
		}
	}
	return mesh
}

// scenario is the setup in the result's words.
func (s Setup) scenario() result.Scenario {
	q := s.Request
	out := result.Scenario{Name: string(s.Scenario), Seed: s.Seed, Arrivals: s.arrivals(),
		Rates: s.Rates, Concurrency: s.InFlight, Requests: s.Count, Seconds: s.Duration.Seconds(),
		Warmup: s.Warmup, Rounds: s.Rounds, TimeoutSeconds: s.Timeout.Seconds(), Trace: s.File,
		Clip: result.Clip{Width: q.Width, Height: q.Height, Frames: q.Frames, FPS: q.FPS,
			Steps: q.Steps, Guidance: q.Guidance, Guidance2: q.Guidance2, Negative: q.Negative},
		Faults: FaultText(s.Faults), Parameters: map[string]string{}}
	if s.Scenario == Mixed {
		out.Requests = len(s.Trace)
	}

	if s.Scenario == SingleStream {
		out.Concurrency = 1
	}

	if s.Scenario == Server && len(s.Rates) == 0 {
		out.Parameters["precision"] = fmt.Sprint(s.Precision)
	}
	if s.Resolve > 0 {
		out.Parameters["resolve"] = fmt.Sprint(s.Resolve)
	}
	if s.Multiple > 0 {
		out.Parameters["objective"] = fmt.Sprintf("%gx", s.Multiple)
	}

	for name, v := range q.Extra {
		out.Parameters[name] = fmt.Sprint(v)
	}
	return out
}

// MLPerf calls the first three ways single-stream, offline and server, too; a result has them in
// its own words, since a trace is a fourth.

// arrivals is how the result calls the way in which clips arrive.
func (s Setup) arrivals() string {
	switch {
	case s.Scenario == SingleStream:
		return "closed"
	case s.Scenario == Offline:
		return "at-once"
	case s.Scenario == Mixed && s.Trace[0].At != nil:
		return "trace"
	}
	return "poisson"
}

// drifts says what changed while a soak went on: it divides the clips that count into driftParts by
// time, and compares the first of these with the last.
func drifts(s Setup, clips []result.Request) []string {
	clips = counted(clips)
	if s.Scenario != Soak || len(clips) < 2*driftParts {
		return nil
	}
	n := len(clips) / driftParts
	first, last := sumOf(clips[:n]), sumOf(clips[len(clips)-n:])
	return []string{fmt.Sprintf("Drift from the first to the last of %d parts of the time: median "+
		"latency %.3g s to %.3g s, clips without a result %d to %d, peak memory %.3g to %.3g GB.",
		driftParts, first.latency, last.latency, first.failed, last.failed, first.memory, last.memory)}
}

// What grows during hours, such as memory or the time of a request in a list that nobody empties,
// is slow beside the scatter of single clips. So long parts are compared, and not a line drawn
// through all of them.

// driftParts is into how many parts of equal counts a soak is divided.
const driftParts = 12

// part is what a part of a soak came to.
type part struct {
	latency float64 // seconds, the median
	failed  int
	memory  float64 // GB, the most
}

// sumOf sums a part up.
func sumOf(clips []result.Request) (p part) {
	var made []result.Request
	for _, q := range clips {
		if q.OK() {
			made = append(made, q)
		} else {
			p.failed++
		}
		p.memory = max(p.memory, float64(q.PeakMemory)/1e9)
	}
	p.latency = median(made, latency)
	return p
}
