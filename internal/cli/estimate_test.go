package cli

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
)

// TestEstimatesArePrinted: what is not known has no figures, and what a server says cannot steer
// the terminal.
func TestEstimatesArePrinted(t *testing.T) {
	known := schema.Estimate{Model: "m", Size: "64x64", Frames: 5, DeviceSeconds: 12.345,
		ComputeSeconds: 6, Range: [2]float64{10, 15}, Samples: 3, Mesh: "cfg=2,ulysses=1",
		Shards: []string{"a", "b"}, Devices: []string{"gpu", "gpu"}, Memory: 1 << 20,
		Waiting: "waits for its turn", Ahead: 2,
		Cost: &schema.EstimatedCost{Amount: 175_000, Low: 150_000, High: 200_000, Currency: "EUR"}}
	for _, c := range []struct {
		e     schema.Estimate
		wants []string
	}{
		{known, []string{"5 frames of 64x64, m", "2 (gpu), cfg=2", "12.3 (10 to 15), by 3 completed jobs",
			"waits for its turn; 2 jobs before it", "0.175 EUR (0.15 to 0.20)"}},
		{schema.Estimate{Model: evil}, []string{"not known", "would start at once"}},
	} {
		var out strings.Builder
		if err := printEstimate(&out, c.e); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing in:\n%s", want, out.String())
			}
		}
		if strings.ContainsAny(out.String(), "\x1b\x07") {
			t.Errorf("the terminal is told what to do: %q", out.String())
		}
	}

	text := expectedText(schema.Expected{DeviceSeconds: 12, ComputeSeconds: 6, Samples: 1, Took: 10,
		TookWhole: 8, Off: 0.2, ComputeOff: -0.25})
	for _, want := range []string{"12 device-seconds", "by 1 completed job", "took 10 (estimate 20 % too " +
		"high)", "25 % too low"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
}
