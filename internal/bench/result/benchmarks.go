package result

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// benchmarks writes each clip as a line of Go's benchmark format, which benchstat reads: clips of
// one kind are samples of one benchmark. See golang.org/x/perf/benchfmt for the format. Requests
// without a clip have no line, so that a comparison of two such files says nothing of failures.
func (r Result) benchmarks() []byte {
	var out bytes.Buffer
	// Settings that are not known are left out: benchstat would set apart runs by an empty one.
	h := r.Cohort.Host
	for _, c := range [][2]string{{"goos", h.OS}, {"goarch", h.Arch}, {"cpu", h.CPU},
		{"pkg", "longtake/bench/serve"}, {"product", r.Cohort.Product}, {"version", r.Cohort.Version},
		{"model", r.Cohort.Model}, {"devices", devices(r.Cohort.Devices)}, {"dtype", r.Cohort.DType}} {
		if v := strings.Join(strings.Fields(c[1]), " "); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", c[0], v)
		}
	}

	// One clip a line, and not their mean: benchstat finds out by itself how far samples scatter.
	for _, q := range completed(inPhase(r.Requests, PhaseMeasure)) {
		fmt.Fprintf(&out, "%s 1 %.0f ns/op", r.benchmark(q), q.Latency*1e9)
		if q.Queue != nil {
			fmt.Fprintf(&out, " %.0f queue-ns/op", *q.Queue*1e9)
		}
		for _, stage := range stages {
			if v, ok := q.Stages[stage]; ok {
				fmt.Fprintf(&out, " %.0f %s-ns/op", v*1e9, stage)
			}
		}
		if q.PerRank != nil {
			fmt.Fprintf(&out, " %.0f rank-wait-ns/op", q.PerRank.Wait.Median*1e9)
		}
		if q.DeviceSeconds > 0 { // ranks times time, so it may exceed the latency
			fmt.Fprintf(&out, " %.0f device-ns/op", q.DeviceSeconds*1e9)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// benchmark is the name under which a clip counts: what makes two clips the same kind of work. The
// pairs of key and value between slashes are what benchstat can group and filter by.
func (r Result) benchmark(q Request) string {
	name := "BenchmarkServe/scenario=" + word(r.Scenario.Name)
	if len(r.Rates) > 0 {
		name += "/rate=" + plainNumber(r.Rates[q.Point].Offered)
	}

	if q.Width > 0 {
		name += fmt.Sprintf("/size=%dx%d", q.Width, q.Height)
	}
	if q.Frames > 0 {
		name += fmt.Sprintf("/frames=%d", q.Frames)
	}
	if q.Steps > 0 {
		name += fmt.Sprintf("/steps=%d", q.Steps)
	}
	if q.Model != "" {
		name += "/model=" + word(q.Model)
	}
	// Where Go's benchmarks have the number of processors, this has the load generator's.
	return fmt.Sprintf("%s-%d", name, max(1, r.Cohort.Host.Cores))
}

// word keeps what a name of a benchmark may have: no blanks, and no slashes of its own.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || c == '/' || !unicode.IsPrint(c) {
			return '_'
		}
		return c
	}, s)
}
