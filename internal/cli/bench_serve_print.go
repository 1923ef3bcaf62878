package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/terminal"
)

// Progress goes to stderr and figures to stdout, as with all commands, so that a script may read
// the one while a person watches the other.

// serveProgress shows how far a run is: a bar on a terminal, else a line now and then. One
// goroutine calls its methods.
type serveProgress struct {
	w    io.Writer
	tty  bool   // w is a terminal, and not a file or a pipe
	what string // of the pass that was told of last
	told time.Time
	bar  *progressbar.ProgressBar
}

// tellAgain is how often a log gets a line of the same pass.
const tellAgain = 30 * time.Second

func newServeProgress(w io.Writer) *serveProgress {
	return &serveProgress{w: w, tty: isTerminal(w)}
}

// tell shows a status.
func (p *serveProgress) tell(s serve.Status) {
	began := s.What != p.what
	if began {
		p.end()
	}

	p.what = s.What
	if !p.tty {
		if began || time.Since(p.told) >= tellAgain {
			terminal.Printf(p.w, "%s\n", statusText(s))
			p.told = time.Now()
		}
		return
	}

	// A bar of clips, or where only time ends the pass, of seconds.
	total, done := s.Total, s.Done
	if total == 0 { // time decides
		total, done = max(1, int((s.Elapsed+s.Left).Seconds())), int(s.Elapsed.Seconds())
	}

	if began {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetWidth(20), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}

	_ = p.bar.Set(min(done, max(1, total-1))) // a full bar would vanish before the pass has ended
	p.bar.Describe(terminal.Escape(statusText(s)))
}

// end clears the bar.
func (p *serveProgress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// statusText says in a line how far a pass is.
func statusText(s serve.Status) string {
	out := s.What + ": " + fmt.Sprintf("%d clips", s.Done)
	if s.Total > 0 {
		out = s.What + ": " + fmt.Sprintf("%d of %d clips", s.Done, s.Total)
	}

	add := func(ok bool, format string, args ...any) {
		if ok {
			out += ", " + fmt.Sprintf(format, args...)
		}
	}

	// What is not known yet, or is nothing to worry about, is left out: terminals are narrow.
	add(s.InFlight > 0, "%d under way", s.InFlight)
	add(s.Failed > 0, "%d failed", s.Failed)
	add(s.P50 > 0, "p50 %s", span(s.P50))
	add(s.PerHour > 0, "%.4g clips/h", s.PerHour)
	add(s.Shows > 0, "could show %.2g %%", 100*s.Shows)
	add(s.Left > 0 && s.Shows > 0, "at most %s left", s.Left.Round(time.Second))
	add(s.Left > 0 && s.Shows == 0, "%s left", s.Left.Round(time.Second))
	return out
}

// The summary is that of result.json, by the same names. What a script asks most often stands
// beside it, so that it need not know the file: whether clips were right, and what saturates the
// server.

// servedLine is what --json prints.
type servedLine struct {
	Report  string         `json:"report"`
	Summary result.Summary `json:"summary"`

	// What only some runs have.
	ObjectiveSeconds float64          `json:"objective_seconds,omitempty"`
	Keeps            float64          `json:"keeps_up_per_second,omitempty"`
	Saturated        float64          `json:"saturated_per_second,omitempty"`
	Fidelity         *result.Fidelity `json:"fidelity,omitempty"`
	Faults           *result.Faults   `json:"faults,omitempty"`
	Notes            []string         `json:"notes,omitempty"`
}

// lineOf is a result for --json.
func lineOf(r result.Result, report string) servedLine {
	kept, saturated := r.SaturationPoint()
	return servedLine{Report: report, Summary: r.Summary, Keeps: kept, Saturated: saturated,
		ObjectiveSeconds: r.Scenario.ObjectiveSeconds, Fidelity: r.Fidelity, Faults: r.Faults,
		Notes: r.Notes}
}

// printServed prints what a run came to in short; report has the rest.
func printServed(w io.Writer, r result.Result, report string, js bool) error {
	s := r.Summary
	kept, saturated := r.SaturationPoint()
	if js {
		return terminal.JSON(w, lineOf(r, report))
	}

	if len(r.Rates) > 1 {
		terminal.Printf(w, "of all rates together:\n")
	}
	if err := printLatencies(w, s); err != nil {
		return err
	}

	terminal.Printf(w, "%d of %d clips, %.4g an hour", s.Completed, s.Requests, s.Throughput.Clips)
	if g := s.Goodput; g != nil {
		terminal.Printf(w, "; goodput %.4g an hour, %.3g%% within %s", g.Clips, 100*g.Met.Value,
			span(g.ObjectiveSeconds))
	}

	if d := s.DeviceSeconds; d != nil {
		terminal.Printf(w, "; %.4g device-seconds a video second", d.Value)
	}
	terminal.Printf(w, "\n")

	printStraggler(w, s)

	// What only some scenarios have. The report has the rest, with intervals.
	for _, q := range ascending(r.Rates) {
		terminal.Printf(w, "offered %.4g/s: p50 %s, p99 %s, %s\n", q.Offered, span(q.Latency.P50.Value),
			span(q.Latency.P99.Value), q.Verdict)
	}

	if kept > 0 {
		terminal.Printf(w, "the server keeps up with %.4g clips/s", kept)
		if saturated > 0 {
			terminal.Printf(w, "; %.4g saturate it", saturated)
		}
		terminal.Printf(w, "\n")
	}

	if r.Faults != nil {
		if err := printFaults(w, r.Faults); err != nil {
			return err
		}
	}
	if f := r.Fidelity; f != nil {
		terminal.Printf(w, "%d of %d clips are equal to those of %s\n", f.Equal, f.Compared,
			f.Reference)
		if wrong := f.Differences(); wrong != "" {
			terminal.Printf(w, "WRONG CLIPS: %s\n", wrong)
		}
	}
	for _, n := range r.Notes {
		terminal.Printf(w, "%s\n", n)
	}

	terminal.Printf(w, "%s\n", report)
	return nil
}

// Percentiles stand beside each other, and no mean: the mean of latencies says nothing of anybody's
// clip. Which of them are of too few clips to mean much is in the report.

// printLatencies prints the table of times.
func printLatencies(w io.Writer, s result.Summary) error {
	return terminal.Table(w, "\tCLIPS\tP50\tP90\tP99\tMAX", func(w io.Writer) {
		row := func(name string, d *result.Distribution) {
			if d != nil && d.N > 0 {
				terminal.Printf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", name, d.N, span(d.P50.Value),
					span(d.P90.Value), span(d.P99.Value), span(d.Max))
			}
		}

		// In the order in which a clip passes them.
		row("latency", &s.Latency)
		row("queue wait", s.Queue)
		for _, stage := range []string{result.StageText, result.StageDenoise, result.StageDecode,
			result.StageEncode} {
			if d, ok := s.Stages[stage]; ok {
				row(stage, &d)
			}
		}
		row("first preview", s.FirstPreview)
		row("first second playable", s.FirstPlayable)
	})
}

// People read a sweep from the lowest rate to the highest, as the figures of the report have it.

// ascending sorts the points of a sweep by rate; a search goes up and down.
func ascending(rates []result.Rate) []result.Rate {
	out := slices.Clone(rates)
	slices.SortFunc(out, func(a, b result.Rate) int {
		return cmp.Or(cmp.Compare(a.Offered, b.Offered), strings.Compare(a.Verdict, b.Verdict))
	})
	return out
}
