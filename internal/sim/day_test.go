package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// cluster is a setup of hosts with devices, whose clips take what is given.
func cluster(hosts, each int, t Times) Setup {
	s := Setup{Seed: 1, Length: time.Hour, Rest: 24 * time.Hour, Models: models(1),
		CheckpointEvery: 1, Members: 1, Begin: 50 * time.Millisecond, Load: 10 * time.Second,
		Save: 200 * time.Millisecond, Restart: 20 * time.Second,
		Times: func(job.Spec, job.Mesh, []int) Times { return t }}
	s.Models[0].Heads = 8
	s.Models[0].Cost.FFNDim = 512
	for i := range hosts * each {
		s.Machines = append(s.Machines, Machine{Name: fmt.Sprintf("g%04d", i), Device: "H100",
			Host: fmt.Sprint("h", i/each), Speed: 1e12,
			Rates: topology.Rates{Process: 1e12, Host: 1e11, Net: 1e10, Far: 1e10}})
	}
	return s
}

// ask adds jobs with exponential times between them.
func (s *Setup) ask(n int, mean time.Duration, shards, steps int) {
	rng := rand.New(rand.NewPCG(s.Seed, 1))
	at := 10 * time.Second
	for i := range n {
		at += time.Duration(rng.ExpFloat64() * float64(mean))
		seed := uint64(i + 1)
		s.Requests = append(s.Requests, Request{At: at, Request: job.Request{Prompt: "p",
			Steps: &steps, Seed: &seed, Shards: shards}})
	}
}

// run simulates, and holds the result to the sums that must hold of any.
func run(t *testing.T, s Setup) *Report {
	t.Helper()
	r, err := Simulate(s)
	if err != nil {
		t.Fatal(err)
	}
	d, busy := r.Devices, time.Duration(0)
	for i, c := range r.Clips {
		busy += c.Busy
		if c.Useful+c.Setup > c.Busy {
			t.Errorf("clip %d: useful %v and setup %v of %v", i, c.Useful, c.Setup, c.Busy)
		}
	}
	if math.Abs(busy.Seconds()-d.Busy) > 1e-3 {
		t.Errorf("clips had devices for %v, devices had clips for %.3f s", busy, d.Busy)
	}
	all := 0.0
	for _, m := range s.Machines {
		// A machine is there from its first boot, up to a heartbeat after From.
		all += max(0, (r.Ended - m.From - heartbeat/2).Seconds())
	}
	if n := float64(len(s.Machines)); math.Abs(all-d.Total) > n*heartbeat.Seconds() {
		t.Errorf("device time of %.3f s; want about %.3f s", d.Total, all)
	}
	if d.Lost < -1e-6 || math.Abs(d.Useful+d.Setup+d.Lost-d.Busy) > 1e-6 {
		t.Errorf("device time does not add up: %+v", d)
	}
	return r
}

// TestADayByHand has two jobs of two devices each, and one failure, all times of which are known.
func TestADayByHand(t *testing.T) {
	s := cluster(1, 2, Times{Text: time.Second, Step: 10 * time.Second, Decode: 4 * time.Second,
		Encode: 2 * time.Second, Decoders: 2})
	steps, one, two := 5, uint64(1), uint64(2)
	ask := func(at time.Duration, seed *uint64) {
		s.Requests = append(s.Requests, Request{At: at, Request: job.Request{Prompt: "p", Steps: &steps,
			Seed: seed, Shards: 2}})
	}
	ask(60*time.Second, &one)
	ask(70*time.Second, &two)
	// The device ends 5 s into the third step of the first job, and is back after 2 minutes. A
	// checkpoint of the second step is there, so steps 3 to 5 are made.
	const down = 120 * time.Second
	s.Incidents = []Incident{{At: 86*time.Second + 50*time.Millisecond, Kind: Crash,
		Machines: []int{1}, For: down}}
	r := run(t, s)

	near := func(what string, got, want time.Duration) {
		t.Helper()
		if d := (got - want).Abs(); d > time.Second {
			t.Errorf("%s is %v; want %v", what, got, want)
		}
	}
	first, second := r.Clips[0], r.Clips[1]
	near("the first start", first.Started, 60*time.Second)
	// After the loss the other device goes on alone, as the one that is lost may never come back.
	lost := 86*time.Second + 3*time.Second
	near("the first end", first.Finished, lost+3*10*time.Second+6*time.Second)
	near("the second start", second.Started, 86*time.Second+down)
	near("the second end", second.Finished, second.Started+57*time.Second)
	if first.Attempts != 2 || second.Attempts != 1 || first.Ranks != 1 {
		t.Errorf("%d and %d attempts, the last of the first on %d ranks", first.Attempts,
			second.Attempts, first.Ranks)
	}

	// Useful of the first: prompts and two steps on two devices, three steps and the rest on one.
	near("useful time", first.Useful, 2*(1+20)*time.Second+(30+6)*time.Second)
	near("useful time of the second", second.Useful, 2*(1+50+4)*time.Second+2*time.Second)
	near("lost time", first.Busy-first.Useful-first.Setup, 5*time.Second+8*time.Second)
}

// TestWaitsAreThoseOfAQueue has jobs of one device on four. First come, first served: the i-th job
// starts when it comes or when the (i-4)-th ends, as all take the same time (J. Kiefer and
// J. Wolfowitz, 1955).
func TestWaitsAreThoseOfAQueue(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a second")
	}
	const devices, took = 4, 20 * time.Second
	s := cluster(devices, 1, Times{Step: took})
	s.Length = 2 * time.Hour
	s.ask(800, took/devices*100/90, 1, 1)
	r := run(t, s)

	var ends []time.Duration
	var have, want time.Duration
	for i, c := range r.Clips {
		at := s.Requests[i].At
		start := at
		if i >= devices {
			start = max(at, ends[i-devices])
		}
		// A device is free again once it has said so.
		ends = append(ends, start+c.Busy+2*latency+settleAfter)
		have, want = have+c.Started-at, want+start-at
		if d := (c.Started - start).Abs(); d > time.Second {
			t.Fatalf("job %d starts at %v; want %v", i, c.Started, start)
		}
	}
	if want < time.Hour || math.Abs(have.Seconds()/want.Seconds()-1) > 0.01 {
		t.Errorf("all waits come to %v; want %v", have, want)
	}
}

// incidents are some of each kind.
func (s *Setup) disturb() {
	for i, x := range []Incident{
		{Kind: Crash, Machines: []int{0}, For: 5 * time.Minute},
		{Kind: Hang, Machines: []int{1}},
		{Kind: Cut, Machines: []int{2, 3}, For: 20 * time.Second},
		{Kind: Slow, Machines: []int{4}, For: 10 * time.Minute, Factor: 2},
		{Kind: Freeze, Machines: []int{5}, For: 10 * time.Second},
		{Kind: Leader},
		{Kind: Drain, Machines: []int{6, 7}, Within: time.Minute, For: 5 * time.Minute},
		{Kind: Crash, Machines: []int{2, 3}, For: 3 * time.Minute},
		{Kind: Restart, Machines: []int{0, 1}},
		{Kind: Crash, Machines: []int{1}, For: time.Minute},
	} {
		x.At = time.Duration(i+1)*3*time.Minute + 7*time.Second
		s.Incidents = append(s.Incidents, x)
	}
}

// TestQuietHeartbeatsChangeNothing compares a day with all heartbeats to one without those that say
// nothing new. A day that is run again is the same to the last byte.
func TestQuietHeartbeatsChangeNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	s := cluster(4, 2, Times{Text: time.Second, Step: 3 * time.Second, Decode: 2 * time.Second,
		Encode: time.Second, Decoders: 2})
	s.Length, s.Members = 33*time.Minute, 3
	s.ask(110, 16*time.Second, 2, 6)
	s.disturb()
	quiet, again := run(t, s), run(t, s)
	if quiet.Log != again.Log {
		t.Error("two runs of a setup have different logs")
	}
	s.Full = true
	full := run(t, s)
	if full.Decisions != quiet.Decisions {
		t.Errorf("all heartbeats lead to other decisions: %+v, %+v", full.Devices, quiet.Devices)
	}
	if full.Stats.Events < 2*quiet.Stats.Events {
		t.Errorf("%d events with all heartbeats, %d without", full.Stats.Events, quiet.Stats.Events)
	}
	for _, k := range []Kind{Crash, Hang, Cut, Slow, Freeze, Drain, Restart} {
		if quiet.Incidents[k] == 0 {
			t.Errorf("there was no %s", k)
		}
	}
	if quiet.Devices.Lost == 0 || quiet.Coordinator.Elections != 2 {
		t.Errorf("%+v lost, %d elections", quiet.Devices.Lost, quiet.Coordinator.Elections)
	}
}
