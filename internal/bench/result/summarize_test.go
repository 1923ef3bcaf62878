package result

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// plain is a result of n requests, one after the other, of 10 s each.
func plain(n int) Result {
	start := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	r := Result{Schema: Version, Started: start, Finished: start.Add(time.Hour),
		Scenario: Scenario{Name: SingleStream, Arrivals: "closed", Seed: 1, ObjectiveSeconds: 10},
		Cohort: Cohort{Dialect: "longtake", Model: "demo",
			Devices: []Device{{Kind: "GPU", Count: 2, Peak: 1e12, PeakSource: "data sheet"}}},
		Dataset: Dataset{Name: "words", Count: n}}
	for i := range n {
		sent := 10 * float64(i)
		r.Requests = append(r.Requests, Request{Index: i, Phase: PhaseMeasure, Prompt: i, Seed: 1,
			Frames: 32, FPS: 16, Steps: 4, Planned: sent, Sent: sent, Latency: 10})
	}
	return r
}

func TestSummaryOfARun(t *testing.T) {
	r := plain(10)
	r.Requests[0].Phase = PhaseWarmup
	r.Requests[9].Failure, r.Requests[9].Latency = &Failure{Class: FailBusy}, 0
	for i := range r.Requests {
		q := &r.Requests[i]
		q.Queue, q.Stages = new(0.0), map[string]float64{StageDenoise: 8}
		q.DeviceSeconds, q.Operations, q.Joules = 20, 4e12, new(100.0)
		q.BytesSent, q.Ranks, q.PeakMemory = new(uint64(400)), 2, int64(1000+i)
		q.PerRank = &PerRank{CommunicationShare: 0.2 + 0.1*float64(i%2),
			Sent: Spread{100, 100, 300}, Slowest: Slowest{Node: "b", Ratio: 1.5, Steps: 1}}
		q.StepSeconds, q.SlowestStep = 2, 3
	}
	r.Requests[3].SlowestStep = 5
	r.Requests[4].Latency = 12
	r.Summarize()
	s := r.Summary

	if s.Requests != 9 || s.Completed != 8 || s.Failed != 1 || s.Errors[FailBusy] != 1 {
		t.Errorf("counts: %+v", s)
	}
	near(t, "seconds", s.Seconds, 80, 0) // from 10 to 90, when the last one was sent
	near(t, "clips an hour", s.Throughput.Clips, 360, 1e-9)
	near(t, "frames an hour", s.Throughput.Frames, 360*32, 1e-9)
	near(t, "video seconds an hour", s.Throughput.VideoSeconds, 720, 1e-9)
	near(t, "tokens, which no clip told", s.Throughput.Tokens, 0, 0)
	near(t, "goodput", s.Goodput.Clips, 7*45, 1e-9)
	near(t, "met", s.Goodput.Met.Value, 7.0/9, 1e-9)
	near(t, "mean latency", s.Latency.Mean.Value, 10.25, 1e-9)
	near(t, "device-seconds", s.DeviceSeconds.Value, 10, 1e-9)
	near(t, "MFU", s.MFU.Value, 0.2, 1e-9)
	near(t, "joules", s.Energy.PerVideoSecond, 50, 1e-9)
	near(t, "bytes a rank", s.Communication.BytesPerRank, 200, 0)
	near(t, "most bytes", s.Communication.BytesPerRankMax, 300, 0)
	near(t, "share of steps", *s.Communication.StepShare, 0.25, 1e-9)
	near(t, "share of steps at most", *s.Communication.StepShareMax, 0.3, 1e-9)
	if want := (Stragglers{Median: 1.5, Worst: 2.5, Clips: 1, RankMedian: 1.5, RankWorst: 1.5,
		Nodes: []SlowNode{{"b", 8, 1.5, 1}}}); !reflect.DeepEqual(*s.Stragglers, want) {
		t.Errorf("stragglers: %+v", s.Stragglers)
	}
	if s.PeakMemory != 1008 || s.Queue.N != 8 || s.Stages[StageDenoise].Mean.Value != 8 {
		t.Errorf("summary: %+v", s)
	}
}

func TestWhatWasNotMeasuredIsAbsent(t *testing.T) {
	r := plain(10)
	r.Scenario.ObjectiveSeconds = 0
	r.Summarize()
	s := r.Summary
	if s.Queue != nil || len(s.Stages) > 0 || s.FirstPreview != nil || s.Goodput != nil ||
		s.MFU != nil || s.DeviceSeconds != nil || s.Communication != nil || s.Stragglers != nil ||
		s.Energy != nil {
		t.Errorf("made up: %+v", s)
	}
	before := r
	if r.Summarize(); !reflect.DeepEqual(r, before) {
		t.Error("a second time makes another summary")
	}
}

func TestNothingCanBeSummedUp(t *testing.T) {
	r := plain(0)
	r.Rates, r.Faults = []Rate{{Offered: 1}}, &Faults{}
	r.Summarize()
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	if r.Rates[0].Verdict != Unclear || r.Rates[0].Offered != 1 {
		t.Errorf("rate: %+v", r.Rates[0])
	}
}

func TestGoodputUnderFaults(t *testing.T) {
	r := plain(20)
	for i := range 10 {
		r.Requests[i].Phase = PhaseUndisturbed
	}
	r.Requests[12].Latency = 15
	r.Requests[13].Failure = &Failure{Class: FailServer}
	r.Faults = &Faults{Events: []Fault{{Kind: "kill", At: 125, Recovery: new(4.0)}, {Kind: "kill"}}}
	r.Summarize()
	f := r.Faults
	if f.Undisturbed.Requests != 10 || f.Under.Completed != 9 || f.Recovery.N != 1 {
		t.Errorf("faults: %+v", f)
	}
	near(t, "goodput kept", f.Kept(), 0.8, 1e-9)
}

// queueing is one server of a fixed service time under Poisson arrivals, at a load of which 1 is
// what it can do.
func queueing(load float64, n int, seed uint64) []Request {
	rng := rand.New(rand.NewPCG(seed, 3))
	var out []Request
	var now, free float64
	for i := range n {
		now += rng.ExpFloat64() / load
		free = max(free, now) + 1 + 0.05*rng.Float64()
		out = append(out, Request{Index: i, Phase: PhaseMeasure, Planned: now, Sent: now,
			Latency: free - now})
	}
	return out
}

// TestSaturationIsFound counts over many seeds. At loads near 1 nobody can tell from so few
// requests, and none are tried.
func TestSaturationIsFound(t *testing.T) {
	const tries = 100
	f := func(load float64, n int, least, most int) {
		t.Helper()
		saturated := 0
		for seed := range uint64(tries) {
			q := queueing(load, n, seed)
			if v, _ := Judge(q); v == Saturated {
				saturated++
			}
		}
		if saturated < least || saturated > most {
			t.Errorf("load %v, %d requests: saturated in %d of %d; want %d to %d", load, n, saturated,
				tries, least, most)
		}
	}
	f(0.3, 60, 0, 3)
	f(0.6, 60, 0, 8)
	f(0.6, 300, 0, 3)
	f(1.3, 60, 90, tries)
	f(1.6, 40, 95, tries)
	f(1.3, 300, 97, tries)
}

func TestFailuresSaturate(t *testing.T) {
	requests := queueing(0.3, 40, 1)
	for i := range 5 {
		requests[i*7].Failure = &Failure{Class: FailBusy}
	}
	got := rate(0.3, requests, 0, 1)
	if got.Verdict != Saturated || got.Why != "5 of 40 requests have no clip" {
		t.Errorf("%s: %s", got.Verdict, got.Why)
	}
	r := Result{Rates: []Rate{{Offered: 1, Verdict: Keeps}, {Offered: 2, Verdict: Keeps},
		{Offered: 3, Verdict: Saturated}, {Offered: 4, Verdict: Keeps}}}
	if kept, saturated := r.SaturationPoint(); kept != 2 || saturated != 3 {
		t.Errorf("kept up to %v, saturated at %v", kept, saturated)
	}
}
