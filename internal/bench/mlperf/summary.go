package mlperf

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Result is what LoadGen says of a test, in mlperf_log_summary.txt.
type Result struct {
	Scenario Scenario `json:"scenario"`
	Mode     Mode     `json:"test"`
	// Valid is LoadGen's judgement of a performance test: durations, counts, early stopping. An
	// accuracy test has none.
	Valid bool `json:"valid"`
	// Seconds is the latency that 90 % of SingleStream's clips stay under, and PerSecond the clips a
	// second of Offline; 0 for another scenario.
	Seconds   float64 `json:"latency_p90_seconds,omitempty"`
	PerSecond float64 `json:"clips_per_second,omitempty"`
	Errors    int     `json:"errors"` // that LoadGen has found
	Dir       string  `json:"logs"`
}

// ReadResult reads the summary of a test.
func ReadResult(t Test) (Result, error) {
	r := Result{Scenario: t.Scenario, Mode: t.Mode, Dir: t.Dir}
	f, err := os.Open(filepath.Join(t.Dir, "mlperf_log_summary.txt"))
	if err != nil {
		return r, fmt.Errorf("LoadGen has left no summary: %w", err)
	}
	defer f.Close()

	// It is for people, and the log beside it for programs. That one is of megabytes, and LoadGen's
	// judgement stands in this one alone. A line that is not known is skipped: versions add some.
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		number, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
		switch strings.TrimSpace(name) {
		case "Result is":
			r.Valid = strings.TrimSpace(value) == "VALID"
		case "90.0th percentile latency (ns)":
			r.Seconds = number / 1e9
		case "Samples per second":
			r.PerSecond = number
		}
		if n, _, ok := strings.Cut(lines.Text(), " ERROR"); ok {
			r.Errors, _ = strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return r, lines.Err()
}
