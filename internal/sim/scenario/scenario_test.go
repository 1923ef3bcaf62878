package scenario

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/published"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/sim"
)

const small = "cluster: {pool: x, models: [Wan2.1-T2V-1.3B]}\narrivals: {rate: 60/h}\n" +
	"clips: [{steps: 4, frames: 33, size: 832x480, shards: 1}]\n"

// TestWrongValues has one line for each, with the key and what is allowed.
func TestWrongValues(t *testing.T) {
	in := func(old, new string) string { return strings.Replace(small, old, new, 1) }
	fault := func(f string) string { return small + "faults: [{" + f + "}]\n" }
	for text, want := range map[string]string{
		"":                           "it is empty; allowed: name, seed",
		"frob: 1\n" + small:          `unknown key "frob"; allowed: name, seed, duration`,
		small + "name: a\nname: b\n": "already defined",
		small + "duration: 5\n":      `line 4: duration is "5"; allowed: such as 90s`,
		small + "seed: x\n":          `line 4: seed is "x"; allowed: a whole number`,
		small + "duration: 240h\n":   "duration is 240h0m0s; allowed: 1s to 168h0m0s",
		small + "duration: [1]\n":    `line 4: duration is ""`,
		small + "---\n" + small:      "more than one document",

		fault("kind: fire, count: 1"):              `faults[0].kind is "fire"; allowed: crash`,
		fault("kind: crash"):                       "faults[0] has count 0 and rate 0/h",
		fault("kind: crash, count: 1, factor: 2"):  "faults[0].factor is 2; allowed",
		fault("kind: slow, count: 1, factor: .5"):  "faults[0].factor is 0.5; allowed",
		fault("kind: crash, count: 1, scope: row"): `faults[0].scope is "row"; allowed: dev`,
		fault("kind: crash, count: 1, boom: 2"):    `unknown key "boom"; allowed: kind, scope`,

		small + "operations: [{kind: hang}]\n": `operations[0].kind is "hang"; allowed: drain`,
		small + "coordinators: {members: 9}\n": "coordinators.members is 9; allowed: 1 to 7",
		small + "coordinators: {tick: 1ms}\n":  "coordinators.tick is 1ms; allowed: 10ms to 1m0s",

		in("60/h", "60"):                            `arrivals.rate is "60"; allowed: such as`,
		in("60/h", "1000000/s"):                     "arrivals.rate comes to 8.64e+10 requests",
		in("60/h", "60/h, process: odd"):            `arrivals.process is "odd"; allowed: poisson`,
		in("60/h", "60/h, day: [0, 0]"):             "arrivals.day has 2 weights of 0 in all",
		in("steps: 4", "share: -1"):                 "clips[0].share is -1; allowed: above 0",
		in("steps: 4", "seconds: 2"):                "clips[0] has frames and seconds; allowed: one",
		in("steps: 4", "objective: 9000h"):          "clips[0].objective is",
		in("clips: [", "clips: []\n#"):              "the number of clips is 0; allowed: 1 to 32",
		in("pool: x,", ""):                          `cluster.pool is ""; allowed: such as`,
		in("pool: x,", "pool: x, room: 100,"):       "cluster.room is 100; allowed: 1 to 64",
		strings.Repeat("#", FileMax) + "\n" + small: "over 65536 bytes",
	} {
		_, err := Read([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80q gives %v; want %q", text, err, want)
		}
	}
}

// planned makes a scenario on one host of so many H100, or fails.
func planned(t *testing.T, text string, devices int) (*Plan, error) {
	t.Helper()
	s, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d, err := perf.Find("H100")
	if err != nil {
		t.Fatal(err)
	}
	p := perf.Pool{}
	for i := range devices {
		p.Nodes = append(p.Nodes, perf.Node{Device: d, Host: fmt.Sprint("h", i/8)})
	}
	var models job.Models
	for _, name := range s.Cluster.Models {
		f, err := published.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := engine.Describe(f)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	return Make(s, p, models)
}

// TestWhatThePoolDoesNotAllow is found before anything runs.
func TestWhatThePoolDoesNotAllow(t *testing.T) {
	in := func(old, new string) string { return strings.Replace(small, old, new, 1) }
	for text, want := range map[string]string{
		in("shards: 1", "shards: 9"):                `clips[0].shards is 9; allowed: up to 8`,
		in("832x480", "831x480"):                    "clips[0].size: width is 831",
		in("frames: 33", "frames: 9999999"):         "clips[0].frames is 9999999",
		in("steps: 4", "steps: 5000"):               "clips[0].steps is 5000",
		in("832x480", "832"):                        "clips[0].size is",
		in("steps: 4", "model: x"):                  `clips[0].model is "x"; allowed: one of cluster`,
		in("T2V-1.3B", "I2V-14B-720P"):              "which takes a picture",
		in("pool: x", "pool: x, later: {hosts: 1}"): "cluster.later.hosts is 1; allowed",
		in("pool: x", "pool: x, profile: frob"):     "cluster.profile is",
		small + "operations: [{kind: drain, first: 1}]\n": "operations[0] is of 1 hosts from host 1 " +
			"on; allowed: of hosts 0 to 0",
	} {
		_, err := planned(t, text, 8)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120q gives %v; want %q", text, err, want)
		}
	}
}

// TestArrivalsFollowTheDay counts what comes in each part of the day.
func TestArrivalsFollowTheDay(t *testing.T) {
	text := strings.Replace(small, "60/h", "600/h, day: [1, 0, 3], after: 1s", 1) + "duration: 9h\n"
	p, err := planned(t, text, 8)
	if err != nil {
		t.Fatal(err)
	}
	var parts [3]float64
	last := time.Duration(0)
	for _, r := range p.setup.Requests {
		if r.At < last || r.At >= 9*time.Hour {
			t.Fatalf("a request at %v after one at %v", r.At, last)
		}
		last = r.At
		parts[r.At/(3*time.Hour)]++
	}
	// 600 in each of 9 hours, of which a quarter comes in the first part and none in the second.
	if math.Abs(parts[0]-1350) > 5*math.Sqrt(1350) || parts[1] != 0 ||
		math.Abs(parts[2]-4050) > 5*math.Sqrt(4050) {
		t.Errorf("%v requests in the parts of the day", parts)
	}

	// Other faults leave arrivals as they are.
	q, err := planned(t, text+"faults: [{kind: crash, count: 7}, {kind: cut, rate: 10/h}]\n", 8)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(q.setup.Requests[9].At) != fmt.Sprint(p.setup.Requests[9].At) {
		t.Error("faults change arrivals")
	}
	if n := len(q.setup.Incidents); n < 7+50 || n > 7+140 {
		t.Errorf("%d incidents", n)
	}
}

// TestWaitsOfArrivalsAreThoseOfTheFormula has what is drawn wait for four devices that take 2 s for
// a clip, by the recursion that tests of package sim hold whole simulations to. The mean is that of
// M/D/c: half of that of M/M/c, which is Erlang's formula C, with the correction of G. P.
// Cosmetatos (1976).
func TestWaitsOfArrivalsAreThoseOfTheFormula(t *testing.T) {
	const devices, took, busy, jobs = 4, 2.0, 0.9, 500_000
	p := &Plan{Scenario: &Scenario{Seed: 1, Arrivals: Arrivals{Rate: Rate(devices * busy / took),
		Process: poisson}}}
	p.Duration = Duration(jobs / float64(p.Arrivals.Rate) * float64(time.Second))
	var free [devices]float64
	waited, n := 0.0, 0
	for i, at := range p.arrivals() {
		// All take the same time, so devices are free again in the order in which they began.
		start := max(at.Seconds(), free[i%devices])
		free[i%devices], waited, n = start+took, waited+start-at.Seconds(), n+1
	}

	// Erlang's formula B by its recursion, and C from it.
	offered, b := devices*busy, 1.0
	for k := 1.0; k <= devices; k++ {
		b = offered * b / (k + offered*b)
	}
	c := b / (1 - busy*(1-b))
	want := c * took / devices / (1 - busy) / 2
	want *= 1 + (1-busy)*(devices-1)*(math.Sqrt(4+5*devices)-2)/(16*busy*devices)
	have := waited / float64(n)
	t.Logf("%d clips wait for %.3f s on average; by the formula %.3f s", n, have, want)
	if math.Abs(have/want-1) > 0.04 {
		t.Errorf("the mean wait is %.3f s; by the formula %.3f s", have, want)
	}
}

// TestTimesAreThoseOfThePlanner runs two clips on their own, as long plan says that they take.
func TestTimesAreThoseOfThePlanner(t *testing.T) {
	text := strings.Replace(small, "60/h", "2/h, process: even", 1) + "duration: 1h\nname: two\n"
	text = strings.Replace(text, "shards: 1", "shards: 4, objective: 1h", 1)
	p, err := planned(t, text, 8)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(nil)
	if err != nil {
		t.Fatal(err)
	}

	var took perf.Prediction
	for _, mesh := range []job.Mesh{{CFG: 2, Ulysses: 2}, {CFG: 1, Ulysses: 4}} {
		spec, err := p.Models[0].Resolve(p.setup.Requests[0].Request, nil)
		if err != nil {
			t.Fatal(err)
		}
		pool := p.Pool
		pool.Nodes = pool.Nodes[:4]
		one, err := perf.Predict(p.Models[0], spec, mesh, pool, p.How)
		if err != nil {
			t.Fatal(err)
		}
		if took.Total == 0 || one.Total < took.Total {
			took = one
		}
	}
	if r.All.Completed != 2 || math.Abs(r.All.Latency.Max-begin.Seconds()-took.Total) > 0.05 {
		t.Errorf("%+v; predicted: %.3f s", r.All, took.Total)
	}
	if g := r.Classes[0]; g.Met != 1 || g.Objective != 3600 || r.Devices != 8 || r.Hosts != 1 {
		t.Errorf("%+v", r)
	}

	// Device time that was useful is the same in the series, and each clip is in its part.
	useful, asked := 0.0, 0
	for _, s := range r.Series {
		useful += s.Useful * r.Hours / 288
	}
	for _, w := range r.Waits {
		asked += w.Asked
	}
	if math.Abs(useful/r.DeviceHours.Useful-1) > 0.01 || asked != 2 || len(r.Waits) != 48 ||
		len(r.All.Distribution) != 101 || r.All.Distribution[100] != r.All.Wait.Max {
		t.Errorf("%v device-hours, %d clips: %+v", useful, asked, r)
	}
	for _, at := range p.known {
		if at.Decoders != 4 || at.Step == 0 {
			t.Errorf("%+v", at)
		}
	}
}

// TestTheExamplesCanBeMade reads what --example prints.
func TestTheExamplesCanBeMade(t *testing.T) {
	devices := map[string]int{"day": 64, "thousand": 1024}
	requests, incidents := map[string]int{"day": 5000, "thousand": 10_000},
		map[string]int{"day": 20, "thousand": 200}
	for _, name := range ExampleNames {
		p, err := planned(t, example(t, name), devices[name])
		if err != nil {
			t.Fatal(err)
		}
		if p.Requests() < requests[name] || p.Incidents() < incidents[name] ||
			p.setup.Incidents[0].Kind != sim.Crash {
			t.Errorf("%s: %d requests, %d incidents", name, p.Requests(), p.Incidents())
		}
	}
}

func example(t testing.TB, name string) string {
	t.Helper()
	text, err := Example(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzRead holds reading to errors of one line, and to scenarios within bounds.
func FuzzRead(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(example(f, "day")))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Read(text)
		switch {
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("an error of several lines: %v", err)
		case err == nil && (s.Arrivals.Rate <= 0 || len(s.Clips) == 0 || s.Duration <= 0):
			t.Errorf("out of bounds: %+v", s)
		}
	})
}
