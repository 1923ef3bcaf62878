package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
)

// writeRuns writes results of n runs in turn, of the sides a and b, b slower by the factor, and
// returns what the command takes for each.
func writeRuns(t *testing.T, dir string, n int, factor float64) (a, b string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	at := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	paths := map[string][]string{}
	for i := range 2 * n {
		side, slower := "a", 1.0
		if i%2 == 1 {
			side, slower = "b", factor
		}
		r := result.Result{Schema: result.Version, Started: at, Finished: at.Add(15 * time.Minute),
			Scenario: result.Scenario{Name: result.SingleStream, Arrivals: "closed"},
			Cohort:   result.Cohort{Dialect: "longtake", Model: "demo", Version: side}}
		for j := range 40 {
			r.Requests = append(r.Requests, result.Request{Index: j, Phase: result.PhaseMeasure,
				Prompt: j, Planned: float64(20 * j), Sent: float64(20 * j),
				Latency: 10 * slower * (1 + 0.02*rng.Float64())})
		}
		at = at.Add(20 * time.Minute)

		path := filepath.Join(dir, fmt.Sprintf("%s%d.json", side, i/2))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Write(f, r); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		paths[side] = append(paths[side], path)
	}
	return strings.Join(paths["a"], ","), strings.Join(paths["b"], ",")
}

func TestBenchCompare(t *testing.T) {
	dir, _ := alone(t)
	a, b := writeRuns(t, dir, 4, 1.05)
	f := func(code int, stderr string, args ...string) string {
		t.Helper()
		got := longtake(t, append([]string{"bench", "compare"}, args...)...)
		if got.code != code || !strings.Contains(got.err, stderr) || (stderr == "") != (got.err == "") {
			t.Errorf("%v: code %d, %q; want %d, %q", args, got.code, got.err, code, stderr)
		}
		return got.out
	}

	table := f(1, "B is clearly worse than A, and may be so by 5%: typical latency +5.0% (+4",
		a, b, "--gate", "5%")
	for _, want := range []string{"4 runs against 4 that took turns; 40 requests",
		"METRIC", "typical latency", "+5.0%", "slower", "version: a, b"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	f(0, "", a, b, "--gate", "10%")
	f(0, "", b, a)

	var c result.Comparison
	text := f(1, "B is clearly worse than A: typical", a, b, "--json")
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if m := c.Metrics[0]; m.Verdict != "slower" || m.Low < 1.04 || m.High > 1.06 {
		t.Errorf("as JSON: %+v", m)
	}

	f(2, `--gate is "5"; allowed: 0% to 100%, such as 5%`, a, b, "--gate", "5")
	f(2, `across is "seed"; allowed: product`, a, b, "--across", "seed")
	f(2, "takes two results", a)
	f(2, "no such file", a, filepath.Join(dir, "none.json"))
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"schema": 3}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f(2, "bad.json: schema is 3; allowed: 1 to 2", a, bad)
}

func TestBenchSchema(t *testing.T) {
	got := longtake(t, "bench", "schema")
	if !json.Valid([]byte(got.out)) || !strings.Contains(got.out, "2020-12") {
		t.Errorf("code %d, %q, %.200s", got.code, got.err, got.out)
	}
}

func TestBenchReport(t *testing.T) {
	dir, _ := alone(t)
	a, _ := writeRuns(t, dir, 1, 1)
	out := filepath.Join(dir, "report")
	got := longtake(t, "bench", "report", a, "-o", out)
	if got.code != 0 || got.out != filepath.Join(out, "report.md")+"\n" {
		t.Fatalf("code %d, %q, %q", got.code, got.out, got.err)
	}
	text, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil || !strings.Contains(string(text), "| requests, clips | 40, 40 |") {
		t.Errorf("%v: %s", err, text)
	}
	for _, name := range []string{"result.json", "latency.svg", "bench.txt"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	got = longtake(t, "bench", "report", a)
	if got.code != 2 || !strings.Contains(got.err, "--output is empty") {
		t.Errorf("code %d, %q", got.code, got.err)
	}
}
