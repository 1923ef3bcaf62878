package result

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// extremes are results whose reports are hard to draw.
func extremes() map[string]Result {
	f := func(n int, latency func(i int) float64) Result {
		r := plain(n)
		for i := range r.Requests {
			q := &r.Requests[i]
			q.Latency = latency(i)
			q.Stages = map[string]float64{StageDenoise: 0.8 * q.Latency, StageDecode: 0.1 * q.Latency}
		}
		r.Finished = r.Started.Add(time.Duration(10*n+100_000) * time.Second)
		r.Summarize()
		return r
	}
	rng := rand.New(rand.NewPCG(1, 1))
	out := map[string]Result{
		"same":      f(50, func(int) float64 { return 10 }),
		"short":     f(50, func(int) float64 { return 1e-6 * (1 + rng.Float64()) }),
		"many":      f(10_000, func(int) float64 { return 10 * math.Exp(0.1*rng.NormFloat64()) }),
		"decades":   f(400, func(i int) float64 { return 0.002 * math.Pow(10, float64(i)/57) }), // to 5 h
		"outlier":   f(200, func(i int) float64 { return 2 + rng.Float64() + 20_000*float64(i/199) }),
		"objective": f(40, func(int) float64 { return 100 + rng.Float64() }),
	}

	// A server with 30 stages of long names, in all clips but one.
	long := f(30, func(i int) float64 { return float64(i + 1) })
	long.Cohort.Product = strings.Repeat("a product | of many words ", 20)
	long.Cohort.Devices = []Device{{Kind: strings.Repeat("GPU-", 40), Count: 30}}
	for i := range long.Requests[1:] {
		for j := range 30 {
			name := fmt.Sprintf("%02d a stage of a name that is too long for a legend", j)
			long.Requests[i].Stages[name] = 0.1
		}
		long.Requests[i].PerRank = &PerRank{CommunicationShare: 1, Sent: Spread{1, 1, 1e24},
			Slowest: Slowest{Ratio: 1e24}}
	}
	long.Summarize()
	out["long"] = long

	// A hundred faults, of which only some labels find room, and a sweep of one rate and of many.
	faults := soak()
	for i := range 100 {
		faults.Faults.Events = append(faults.Faults.Events, Fault{Kind: "kill",
			Target: fmt.Sprintf("coordinator %d of a name that goes on and on", i), At: float64(20 * i)})
	}
	out["faults"] = faults
	rates := sweep()
	for i := range 25 {
		p := rates.Rates[i%5]
		p.Offered *= math.Pow(10, float64(i/5))
		for _, e := range []*Estimate{&p.Latency.P50, &p.Latency.P90, &p.Latency.P99} {
			e.Value *= math.Pow(8, float64(i/5))
			e.Low, e.High = 0.9*e.Value, 1.1*e.Value
		}
		rates.Rates = append(rates.Rates, p)
	}
	out["rates"] = rates
	return out
}

// TestReportsOfExtremes writes them to LONGTAKE_PLOTS, if that is set, to be looked at.
func TestReportsOfExtremes(t *testing.T) {
	for name, r := range extremes() {
		files, err := Report(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, f := range files {
			text := string(f.Data)
			if len(text) > 2_000_000 || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
				t.Errorf("%s: %s has %d bytes, or what is no number", name, f.Name, len(text))
			}
		}
		if dir := os.Getenv("LONGTAKE_PLOTS"); dir != "" {
			if err := Save(filepath.Join(dir, "x-"+name), r); err != nil {
				t.Fatal(err)
			}
		}
	}
}
