package result

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// sweep is a run of a server over rates, on a machine with a queue.
func sweep() Result {
	r := plain(0)
	r.Scenario = Scenario{Name: Server, Arrivals: "poisson", Seed: 1, ObjectiveSeconds: 30,
		Clip: Clip{Width: 832, Height: 480, Frames: 81, FPS: 16, Steps: 20}}
	r.Cohort.Product, r.Cohort.Version, r.Cohort.DType = "longtake", "1.2", "bf16"
	r.Cohort.Host = Host{CPU: "a CPU | with a bar", Cores: 8, OS: "linux", Arch: "amd64", Go: "go1.26"}
	r.Dataset = Dataset{Name: "words", Count: 60}
	rng := rand.New(rand.NewPCG(1, 1))
	var now float64
	for point, rate := range []float64{0.01, 0.03, 0.06, 0.09, 0.13} {
		r.Rates = append(r.Rates, Rate{Offered: rate})
		free := now
		for i := range 60 {
			now += rng.ExpFloat64() / rate
			start := max(free, now)
			denoise := 8 * math.Exp(0.03*rng.NormFloat64())
			free = start + denoise + 2
			r.Requests = append(r.Requests, Request{Index: len(r.Requests), Phase: PhaseMeasure,
				Point: point, Prompt: i, Seed: uint64(i), Width: 832, Height: 480, Frames: 81, FPS: 16,
				Steps: 20, Tokens: 32760, Planned: now, Sent: now, Latency: free - now,
				Queue: new(start - now), DeviceSeconds: 2 * (denoise + 2), Operations: 1e12,
				Stages: map[string]float64{StageText: 0.2, StageDenoise: denoise, StageDecode: 1.2,
					StageEncode: 0.5}})
		}
		now = free
	}
	r.Finished = r.Started.Add(time.Duration(now * float64(time.Second)))
	r.Summarize()
	return r
}

// soak is a run for a long time in which shards are killed.
func soak() Result {
	r := sweep()
	r.Scenario.Name, r.Rates, r.Scenario.Faults = Soak, nil, "kill=2/h"
	m := shared(1)
	r.Requests = nil
	for i := range 300 {
		q := Request{Index: i, Phase: PhaseUndisturbed, Prompt: i % 60, Planned: m.now, Sent: m.now,
			Frames: 81, FPS: 16}
		q.Latency = 10 * math.Exp(m.slow+0.03*m.rng.NormFloat64())
		if i >= 100 {
			q.Phase = PhaseMeasure
		}
		if i%70 >= 67 && i > 100 {
			q.Latency *= 2.5
		}
		r.Requests = append(r.Requests, q)
		m.pass(q.Latency)
	}
	r.Faults = &Faults{Seed: 1}
	for i, at := range []float64{1400, 2200, 2950} {
		r.Faults.Events = append(r.Faults.Events, Fault{Kind: "kill", Target: "shard " +
			string(rune('1'+i)), At: at, Hit: []int{137 + 70*i}, Recovery: new(12.5)})
	}
	r.Finished = r.Started.Add(2 * time.Hour)
	r.Summarize()
	return r
}

func TestReports(t *testing.T) {
	f := func(name string, r Result, want []string, says ...string) {
		t.Helper()
		files, err := Report(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Report(r)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i, file := range files {
			names = append(names, file.Name)
			if !bytes.Equal(file.Data, again[i].Data) {
				t.Errorf("%s: %s is other the second time", name, file.Name)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s has the files %v; want %v", name, names, want)
		}
		text := string(files[0].Data)
		for _, s := range says {
			if !strings.Contains(text, s) {
				t.Errorf("the report of %s lacks %q:\n%s", name, s, text)
			}
		}
		for _, file := range files[2:] {
			if !strings.Contains(text, "]("+file.Name+")") {
				t.Errorf("the report of %s does not show %s", name, file.Name)
			}
		}
		if dir := os.Getenv("LONGTAKE_PLOTS"); dir != "" {
			if err := Save(filepath.Join(dir, name), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	f("sweep", sweep(), []string{"report.md", "bench.txt", "latency.svg", "rates.svg",
		"throughput.svg", "stages.svg"}, "| clips | 832x480, 81 frames, 16 frames/s, 20 steps |",
		"a CPU \\| with a bar", "| saturated |", "0.09 requests/s saturate it", "| MFU |",
		"| denoise | 300 |")
	f("soak", soak(), []string{"report.md", "bench.txt", "latency.svg", "timeline.svg"},
		"| kill | shard 1 | 1 | 12.5 s |", "of the undisturbed goodput was left")
	f("nothing", plain(0), []string{"report.md", "bench.txt"}, "| requests, clips | 0, 0 |")
	f("one", plain(1), []string{"report.md", "bench.txt", "latency.svg"}, "10.0 s (few)")
}

// TestBenchmarkLines holds bench.txt to Go's format: a name that begins with Benchmark and an upper
// case letter, a count, and pairs of a number and a unit, all apart by blanks; and lines of
// "key: value" whose keys begin with a lower case letter.
func TestBenchmarkLines(t *testing.T) {
	line := regexp.MustCompile(`^Benchmark[A-Z][^ ]*-[0-9]+ 1( [0-9]+ [^ ]+)+$`)
	config := regexp.MustCompile(`^[a-z][^A-Z\s:]*: \S.*$`)
	r := sweep()
	r.Requests[3].Model = "a/model of mine"
	n := 0
	for _, l := range strings.Split(strings.TrimSpace(string(r.benchmarks())), "\n") {
		if line.MatchString(l) {
			n++
		} else if !config.MatchString(l) {
			t.Errorf("neither a benchmark nor a setting: %q", l)
		}
	}
	if n != 300 {
		t.Errorf("%d benchmarks; want one for each clip", n)
	}
	want := "BenchmarkServe/scenario=server/rate=0.01/size=832x480/frames=81/steps=20/" +
		"model=a_model_of_mine-8 1 "
	if !strings.Contains(string(r.benchmarks()), want) {
		t.Errorf("no line begins with %s", want)
	}
}

func TestSavedResults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	want := sweep()
	for range 2 { // a second time it replaces
		if err := Save(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 7 {
		t.Errorf("%d files: %v, %v", len(found), found, err)
	}
	f, err := os.Open(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := Read(f); err != nil || len(got.Requests) != len(want.Requests) {
		t.Errorf("read %d requests: %v", len(got.Requests), err)
	}
	if err := Save(filepath.Join(dir, "report.md"), want); err == nil {
		t.Error("a file was taken for a folder")
	}
}

func TestTimesInWords(t *testing.T) {
	for v, want := range map[float64]string{0: "0 s", 1.5e-6: "1.50 µs", 0.0123: "12.3 ms",
		1:    "1.00 s",
		57.4: "57.4 s", 123.4: "123 s", 1837.9: "30.6 min", 36000: "10.0 h"} {
		if got := seconds(v); got != want {
			t.Errorf("%v is %s; want %s", v, got, want)
		}
	}
}
