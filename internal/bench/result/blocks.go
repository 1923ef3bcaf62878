package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// timeBlocks is into how many parts a run without rounds is divided, in the order of time.
	timeBlocks = 8
	// blockMin is how many requests such a part has at least.
	blockMin = 2
	// roundsMin is how many rounds of a run can stand for it; with fewer it is divided by time.
	roundsMin = 4
)

// side is one of two servers: the requests that count for times, in blocks. A block is what is
// drawn as a whole: a run where there are several, else a part of the only one. Within a block, a
// machine is as fast as it is; from block to block it may be slower for reasons of its own.
type side struct {
	requests []Request
	block    []int // of each request
	tallies  []tally

	// usual is, for each request, the logarithm of the median latency of its twins on both sides; nil
	// where requests have no twins.
	usual []float64
}

// tally counts what was made in a block, for rates.
type tally struct {
	clips, met float64
	seconds    float64
	start, end time.Time
}

// key is what makes two requests the same work: such twins differ by the server and the machine's
// mood alone, however different the clips of a run are from each other. Occurrence tells
// repetitions within a run apart.
type key struct {
	prompt, occurrence           int
	seed                         uint64
	model                        string
	width, height, frames, steps int
	point                        int
}

// twins gives each completed request of a run its key. A request without a clip has no twin, and
// its twins on the other side are left out with it: who fails on large clips would look fast.
func twins(requests []Request) map[key]Request {
	out, seen := map[key]Request{}, map[key]int{}
	for _, q := range completed(requests) {
		k := key{prompt: q.Prompt, seed: q.Seed, model: q.Model, width: q.Width, height: q.Height,
			frames: q.Frames, steps: q.Steps, point: q.Point}
		k.occurrence, seen[k] = seen[k], seen[k]+1
		out[k] = q
	}
	return out
}

// common returns the keys that all runs of both sides have, in the order of the first run; nil if
// they are less than half of those of some run. Then the sides are compared without pairs.
func common(runs []Result) []key {
	sets := make([]map[key]Request, len(runs))
	for i, r := range runs {
		sets[i] = twins(inPhase(r.Requests, PhaseMeasure))
	}
	var keys []key
	for k := range sets[0] {
		if !slices.ContainsFunc(sets, func(s map[key]Request) bool { _, ok := s[k]; return !ok }) {
			keys = append(keys, k)
		}
	}

	// With fewer, what both have in common may be no longer what either was asked to do.
	for _, s := range sets {
		if 2*len(keys) < len(s) || len(keys) == 0 {
			return nil
		}
	}

	// Maps have no order; the first run's is as good as any, and the same each time.
	slices.SortFunc(keys, func(a, b key) int {
		x, y := sets[0][a], sets[0][b]
		return cmp.Or(cmp.Compare(x.Sent, y.Sent), cmp.Compare(x.Index, y.Index))
	})
	return keys
}

// timed returns a run's requests that count for times: those of the keys, in their order, or all
// that were completed if there are no keys. Rates count every clip, also those without a twin.
func timed(r Result, keys []key) []Request {
	measured := inPhase(r.Requests, PhaseMeasure)
	if keys == nil {
		return completed(measured)
	}
	set := twins(measured)
	out := make([]Request, len(keys))
	for i, k := range keys {
		out[i] = set[k]
	}
	return out
}

// wholeRuns makes each run a block. A run as a whole has what its requests have in common: where
// its memory lies, how warm the machine was, who else was on it.
func wholeRuns(runs []Result, keys []key) side {
	var s side
	for i, r := range runs {
		requests := timed(r, keys)
		s.requests = append(s.requests, requests...)
		s.block = append(s.block, slices.Repeat([]int{i}, len(requests))...)
		s.tallies = append(s.tallies, tallied(r, inPhase(r.Requests, PhaseMeasure)))
	}
	return s
}

// tallied counts some of a run's requests, over the time that they took: from the first one sent to
// the last one done. Failures take time and make nothing.
func tallied(r Result, requests []Request) tally {
	var t tally
	first, last := math.Inf(1), 0.0
	for _, q := range requests {
		first, last = min(first, q.Sent), max(last, q.Done())
		t.count(q, r.Scenario.ObjectiveSeconds)
	}
	t.seconds = max(0, last-first)
	t.start, t.end = r.at(first), r.at(last)
	return t
}

// count adds a request that was done.
func (t *tally) count(q Request, objective float64) {
	if !q.OK() {
		return
	}
	t.clips++
	if q.Latency <= objective {
		t.met++
	}
}

// at is the time of so many seconds after the run's start. Beyond 1e9 of them, thirty years, none
// counts; a file may say so, and durations of Go end at ten times that.
func (r Result) at(seconds float64) time.Time {
	return r.Started.Add(time.Duration(min(seconds, 1e9) * float64(time.Second)))
}

// rounds returns into how many rounds the requests were divided, 0 if some rounds have too few
// requests, or numbers are left out.
func rounds(requests []Request) int {
	// A round that was cut short would count as much as a whole one.
	seen := map[int]int{}
	for _, q := range requests {
		seen[q.Round]++
	}
	for i := range len(seen) {
		if seen[i] < blockMin {
			return 0
		}
	}
	return len(seen)
}

// parts divides a run by its rounds, or by time where those are too few. Requests that have a twin
// come in the order of the twins, so that both are in the same part.
func parts(r Result, keys []key) side {
	requests := timed(r, keys)
	measured := inPhase(r.Requests, PhaseMeasure)
	s := side{requests: requests, block: make([]int, len(requests))}

	// Rounds may lie far apart, with the other side's in between: their tallies are of each alone.
	if n := rounds(requests); n >= roundsMin {
		s.tallies = make([]tally, n)
		for i := range s.tallies {
			s.tallies[i] = tallied(r, slices.DeleteFunc(slices.Clone(measured),
				func(q Request) bool { return q.Round != i }))
		}
		for i, q := range requests {
			s.block[i] = q.Round
		}
		return s
	}

	// A single request is a part, too: how many parts it takes to compare is decided elsewhere.
	n := max(1, min(timeBlocks, len(requests)/blockMin))
	for i := range requests {
		s.block[i] = i * n / len(requests)
	}
	s.tallies = intervals(r, measured, n)
	return s
}

// intervals counts clips in n parts of a run with as many clips each, in the order in which they
// were done: the seconds of a part are from the last clip of the one before to its own last.
func intervals(r Result, measured []Request, n int) []tally {
	done := completed(measured)
	slices.SortStableFunc(done, func(a, b Request) int { return cmp.Compare(a.Done(), b.Done()) })
	before := math.Inf(1)
	for _, q := range measured {
		before = min(before, q.Sent)
	}

	out := make([]tally, n)
	for i := range out {
		// A part without an end of its own would count the idle time before its clips twice.
		t := &out[i]
		t.start = r.at(before)
		for _, q := range done[i*len(done)/n : (i+1)*len(done)/n] {
			t.count(q, r.Scenario.ObjectiveSeconds)
			t.seconds += max(0, q.Done()-before)
			before = max(before, q.Done())
		}
		t.end = r.at(before)
	}
	return out
}

// inTurn reports whether blocks of both sides follow each other in pairs, so that each has a
// neighbour in time that the machine treated alike.
func inTurn(a, b []tally) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].start.Before(b[i].end) && b[i].start.Before(a[i].end) {
			return false // at the same time, they took from each other
		}
		for _, before := range []tally{a[max(0, i-1)], b[max(0, i-1)]} {
			if i > 0 && (before.end.After(a[i].start) || before.end.After(b[i].start)) {
				return false
			}
		}
	}
	return true
}

// design is how the two sides are compared. Reports print its text, so that a reader knows what the
// intervals rest on.
type design struct {
	a, b side

	// pairs is how many requests have a twin on the other side in each run, 0 for none.
	pairs int

	// turns: blocks of a and b with one index were measured one after the other.
	turns bool

	// ratios are the logarithms of B to A of the pairs of two runs side by side, in their order, and
	// lost how many pairs lack a clip; nil of other designs.
	ratios []float64
	lost   int

	// single: each side is one run, so that runs cannot be seen to differ.
	single bool

	text string
}

// plan chooses the design by what there is, never by what the figures say: a design that was chosen
// for its result would find differences between equal servers.
func plan(a, b []Result) design {
	if sideBySide(a, b) {
		return paired(a[0], b[0])
	}
	keys := common(slices.Concat(a, b))

	// Runs come in the order of time, whatever the order in which their files were named: only then
	// does it show whether they took turns.
	d := design{pairs: len(keys)}
	if len(a) > 1 || len(b) > 1 {
		byStart := func(x, y Result) int { return x.Started.Compare(y.Started) }
		d.a = wholeRuns(slices.SortedFunc(slices.Values(a), byStart), keys)
		d.b = wholeRuns(slices.SortedFunc(slices.Values(b), byStart), keys)
		d.turns = len(a) >= 3 && inTurn(d.a.tallies, d.b.tallies)
		d.text = fmt.Sprintf("%d runs against %d", len(a), len(b))
	} else {
		d.single = true
		// Rounds of two processes can have taken turns, too.
		d.a, d.b = parts(a[0], keys), parts(b[0], keys)
		d.turns = len(d.a.tallies) >= roundsMin && inTurn(d.a.tallies, d.b.tallies)
		d.text = fmt.Sprintf("one run against one, in %d and %d parts", len(d.a.tallies),
			len(d.b.tallies))
	}

	// The text says all that a reader needs to repeat the choice by hand.
	if keys != nil {
		usual(&d.a, &d.b, len(keys))
	}
	if d.turns {
		d.text += " that took turns"
	}
	if keys != nil {
		d.text += fmt.Sprintf("; %d requests of each run are the same on both sides", len(keys))
	} else {
		d.text += "; the sides had different requests"
	}
	return d
}

// usual fills side.usual. The requests of each run are in the order of the keys. The median is over
// both sides, so that what is usual favours neither.
func usual(a, b *side, keys int) {
	twins := make([][]float64, keys)
	for _, s := range []*side{a, b} {
		for i, q := range s.requests {
			twins[i%keys] = append(twins[i%keys], math.Log(q.Latency))
		}
	}

	// Of an even number of twins the median is between the middle two.
	medians := make([]float64, keys)
	for i, t := range twins {
		slices.Sort(t)
		medians[i] = (t[(len(t)-1)/2] + t[len(t)/2]) / 2
	}

	for _, s := range []*side{a, b} {
		s.usual = make([]float64, len(s.requests))
		for i := range s.usual {
			s.usual[i] = medians[i%keys]
		}
	}
}
