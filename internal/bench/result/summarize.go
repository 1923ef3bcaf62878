package result

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Summarize fills Summary, what is measured of each rate (Offered is the caller's), and the sums of
// Faults, from the requests. Intervals are of a bootstrap whose seed is the scenario's. They say
// how far the figures of this run depend on which requests it had, and nothing of how another run
// would differ: that takes several runs, and Compare.
func (r *Result) Summarize() {
	objective, seed := r.Scenario.ObjectiveSeconds, r.Scenario.Seed
	measured := inPhase(r.Requests, PhaseMeasure)
	r.Summary = summary(measured, objective, seed)
	r.Summary.MFU = mfu(measured, r.Cohort.Devices)

	for i := range r.Rates {
		var of []Request
		for _, q := range measured {
			if q.Point == i {
				of = append(of, q)
			}
		}
		r.Rates[i] = rate(r.Rates[i].Offered, of, objective, seed)
	}
	if r.Faults != nil {
		r.Faults.summarize(measured, inPhase(r.Requests, PhaseUndisturbed), objective, seed)
	}
}

// inPhase returns the requests of a phase. Those of the warm-up are in no sum: the first clips of a
// server load weights and tune kernels.
func inPhase(requests []Request, phase string) []Request {
	var out []Request
	for _, q := range requests {
		if q.Phase == phase {
			out = append(out, q)
		}
	}
	return out
}

// completed returns the requests that made a clip, in the order in which they were sent.
func completed(requests []Request) []Request {
	var out []Request
	for _, q := range requests {
		if q.OK() {
			out = append(out, q)
		}
	}
	slices.SortStableFunc(out, func(a, b Request) int { return cmp.Compare(a.Sent, b.Sent) })
	return out
}

// summary sums up all that does not depend on the cohort.
func summary(requests []Request, objective float64, seed uint64) Summary {
	done := completed(requests)
	l := load(requests, objective, seed)
	s := Summary{Requests: l.Requests, Completed: l.Completed, Failed: l.Requests - l.Completed,
		Seconds: l.Seconds, Latency: l.Latency, Throughput: l.Throughput, Goodput: l.Goodput,
		Errors: map[string]int{}, Stages: map[string]Distribution{}}
	for _, q := range requests {
		if q.Failure != nil {
			s.Errors[q.Failure.Class]++
		}
	}

	// Each of these is absent if no clip tells it; what only some clips tell is of these clips.
	s.Queue = distributionOf(done, seed, queueOf)
	for _, stage := range slices.Sorted(maps.Keys(stagesOf(done))) {
		s.Stages[stage] = *distributionOf(done, seed, stageOf(stage))
	}
	s.FirstPreview = distributionOf(done, seed, func(q Request) (float64, bool) {
		return q.FirstPreview, q.FirstPreview > 0
	})
	s.FirstPlayable = distributionOf(done, seed, func(q Request) (float64, bool) {
		return q.FirstPlayable, q.FirstPlayable > 0
	})

	s.DeviceSeconds = deviceSeconds(done, seed)
	s.Communication, s.Stragglers, s.Energy = communication(done), stragglers(done), energy(done)
	for _, q := range done {
		s.PeakMemory = max(s.PeakMemory, q.PeakMemory)
	}
	return s
}

// queueOf is a request's wait for devices. A wait of 0 was measured; nil was not.
func queueOf(q Request) (float64, bool) {
	if q.Queue == nil {
		return 0, false
	}
	return *q.Queue, true
}

// stageOf takes the time of one stage.
func stageOf(name string) func(Request) (float64, bool) {
	return func(q Request) (float64, bool) {
		seconds, ok := q.Stages[name]
		return seconds, ok
	}
}

// stagesOf is the set of all stages that any request has.
func stagesOf(requests []Request) map[string]bool {
	out := map[string]bool{}
	for _, q := range requests {
		for name := range q.Stages {
			out[name] = true
		}
	}
	return out
}

// distributionOf is of the requests that have such a time; nil if none has. A distribution of what
// only some tell says so by its N.
func distributionOf(done []Request, seed uint64, of func(Request) (float64, bool)) *Distribution {
	var values []float64
	for _, q := range done {
		if v, ok := of(q); ok {
			values = append(values, v)
		}
	}
	if values == nil {
		return nil
	}
	d := distribution(values, seed)
	return &d
}

// load sums up what became of some requests, between the first one sent and the last clip.
func load(requests []Request, objective float64, seed uint64) Load {
	done := completed(requests)
	l := Load{Requests: len(requests), Completed: len(done), Seconds: window(requests)}
	var latencies []float64
	met := 0
	for _, q := range done {
		latencies = append(latencies, q.Latency)
		if q.Latency <= objective {
			met++
		}
	}

	l.Latency = distribution(latencies, seed)
	l.Throughput = throughput(done, l.Seconds)
	if objective > 0 {
		l.Goodput = &Goodput{ObjectiveSeconds: objective, Clips: perHour(float64(met), l.Seconds),
			Met: share(met, len(requests))}
	}
	return l
}

// window is from the first request sent to the last clip complete, or request sent. A run that ends
// with failures has no shorter window for them: the server was asked all the time.
func window(requests []Request) float64 {
	first, last := math.Inf(1), 0.0
	for _, q := range requests {
		first, last = min(first, q.Sent), max(last, q.Done())
	}
	return max(0, last-first)
}

// perHour is 0 for an empty window: a single request that failed at once took no time.
func perHour(n, seconds float64) float64 {
	if seconds == 0 {
		return 0
	}
	return n / seconds * 3600
}

// throughput counts what was made. A sum to which some clips did not tell their part is left out.
func throughput(done []Request, seconds float64) Throughput {
	var frames, tokens, video []float64
	for _, q := range done {
		frames = append(frames, float64(q.Frames))
		tokens = append(tokens, float64(q.Tokens))
		video = append(video, q.VideoSeconds())
	}

	total := func(parts []float64) float64 {
		if slices.Contains(parts, 0) {
			return 0
		}
		return perHour(sum(parts), seconds)
	}
	return Throughput{Clips: perHour(float64(len(done)), seconds), Frames: total(frames),
		Tokens: total(tokens), VideoSeconds: total(video)}
}

// deviceSeconds are for a second of video, of the clips that tell both: the sum of the one by the
// sum of the other, so that long clips count for what they are.
func deviceSeconds(done []Request, seed uint64) *Estimate {
	var devices, video []float64
	for _, q := range done {
		if q.DeviceSeconds > 0 && q.VideoSeconds() > 0 {
			devices, video = append(devices, q.DeviceSeconds), append(video, q.VideoSeconds())
		}
	}
	if devices == nil {
		return nil
	}
	e := ratio(devices, video, seed)
	return &e
}
