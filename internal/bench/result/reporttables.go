package result

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// times are the rows of the table of latencies.
func (r Result) times() [][]string {
	s := r.Summary
	rows := [][]string{timesRow("latency", &s.Latency), timesRow("queue wait", s.Queue)}
	has := map[string]bool{}
	for name := range s.Stages {
		has[name] = true
	}
	for _, name := range inOrder(has) {
		d := s.Stages[name]
		rows = append(rows, timesRow(name, &d))
	}
	rows = append(rows, timesRow("first preview", s.FirstPreview),
		timesRow("first second playable", s.FirstPlayable))
	return slices.DeleteFunc(rows, func(row []string) bool { return row == nil })
}

// timesRow is nil for what was not measured.
func timesRow(name string, d *Distribution) []string {
	if d == nil || d.N == 0 {
		return nil
	}
	few := func(e Estimate) string {
		if e.Few {
			return seconds(e.Value) + " (few)"
		}
		return seconds(e.Value)
	}
	return []string{name, strconv.Itoa(d.N), interval(d.Mean, seconds), few(d.P50), few(d.P90),
		few(d.P99), seconds(d.Max)}
}

// interval prints an estimate with its bounds. Bounds of few samples would be read as if they held,
// so there are none.
func interval(e Estimate, print func(float64) string) string {
	if e.Few {
		return print(e.Value) + " (few)"
	}
	return fmt.Sprintf("%s (%s to %s)", print(e.Value), print(e.Low), print(e.High))
}

// plainNumber prints with four digits: more than the samples support, and enough to compare with
// another report by eye, or tell the rates of a sweep apart.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// inPercent prints a share.
func inPercent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }

// yield is the table of what was made, and what that took. What was not measured has no row.
func (r Result) yield() [][]string {
	s := r.Summary
	rows := [][]string{{"requests, clips", fmt.Sprintf("%d, %d", s.Requests, s.Completed)}}
	add := func(ok bool, name string, value func() string) {
		if ok {
			rows = append(rows, []string{name, value()})
		}
	}
	number := func(v float64) func() string { return func() string { return plainNumber(v) } }

	// What was made.
	t := s.Throughput
	add(len(s.Errors) > 0, "failures", func() string { return counted(s.Errors) })
	add(true, "clips an hour", number(t.Clips))
	add(t.Frames > 0, "frames an hour", number(t.Frames))
	add(t.Tokens > 0, "latent tokens an hour", number(t.Tokens))
	add(t.VideoSeconds > 0, "video seconds an hour", number(t.VideoSeconds))
	add(s.Goodput != nil, "goodput, clips an hour", func() string {
		return fmt.Sprintf("%s within %s, %s of the requests", plainNumber(s.Goodput.Clips),
			seconds(s.Goodput.ObjectiveSeconds), interval(s.Goodput.Met, inPercent))
	})

	// What it took.
	add(s.DeviceSeconds != nil, "device-seconds a video second", func() string {
		return interval(*s.DeviceSeconds, plainNumber)
	})
	add(s.MFU != nil, "MFU", func() string { return inPercent(s.MFU.Value) })

	// What ranks do to each other.
	c := s.Communication
	add(c != nil && c.BytesPerRankMax > 0, "sent by a rank for a clip", func() string {
		return fmt.Sprintf("%s MB, at most %s MB", plainNumber(c.BytesPerRank/1e6),
			plainNumber(c.BytesPerRankMax/1e6))
	})
	add(c != nil && c.StepShare != nil, "communication, of the steps' time", func() string {
		return fmt.Sprintf("%s, in the worst clip %s", inPercent(*c.StepShare),
			inPercent(*c.StepShareMax))
	})
	slow := s.Stragglers
	add(slow != nil && slow.RankMedian > 0, "slowest rank to median rank", func() string {
		return fmt.Sprintf("median %.2f, worst %.2f", slow.RankMedian, slow.RankWorst)
	})
	add(slow != nil && slow.Median > 0, "slowest step to median step", func() string {
		return fmt.Sprintf("median %.2f, worst %.2f; above %d: %d clips", slow.Median, slow.Worst,
			stragglerRatio, slow.Clips)
	})

	// What is left: memory and energy, and whether the clips were right at all.
	add(s.PeakMemory > 0, "peak memory of a rank", func() string {
		return plainNumber(float64(s.PeakMemory)/1e9) + " GB"
	})
	add(s.Energy != nil, "energy", func() string {
		return fmt.Sprintf("%s J for %d clips, %s J a video second", plainNumber(s.Energy.Joules),
			s.Energy.Clips, plainNumber(s.Energy.PerVideoSecond))
	})
	add(r.Fidelity != nil, "fidelity", func() string { return r.Fidelity.text() })
	return rows
}

// ranks is the section of clips that several ranks made: how long they waited for each other, and
// for whom.
func (p *page) ranks(r Result, charts []chart) {
	s := r.Summary.Stragglers
	if s == nil || len(s.Nodes) == 0 {
		return
	}

	p.printf("## Ranks\n\n")
	var rows [][]string
	for _, n := range s.Nodes {
		rows = append(rows, []string{n.Node, strconv.Itoa(n.Clips), fmt.Sprintf("%.2f", n.Ratio),
			inPercent(n.Steps)})
	}
	p.table([]string{"slowest rank", "of clips", "its computing to the median rank's",
		"slowest in these of the steps"}, rows)
	p.printf("Communication is the time of steps in which a rank computes nothing, as it waits for\n" +
		"a message: for its way, or for a slower rank. The mean over ranks and clips.\n\n")
	p.figures(charts, "ranks.svg")
}

// counted lists failures by their class, in the order of the alphabet: the same result makes the
// same page.
func counted(errors map[string]int) string {
	var out []string
	for _, class := range slices.Sorted(maps.Keys(errors)) {
		out = append(out, fmt.Sprintf("%d %s", errors[class], class))
	}
	return strings.Join(out, ", ")
}

// rates is the section of a sweep: a row for each rate, and between which two of them the server
// saturates.
func (p *page) rates(r Result) {
	p.printf("## Rates\n\n")
	var rows [][]string
	for _, q := range r.byRate() {
		good := ""
		if q.Goodput != nil {
			good = plainNumber(q.Goodput.Clips)
		}
		rows = append(rows, []string{plainNumber(q.Offered), plainNumber(q.Achieved),
			strconv.Itoa(q.Completed) + " of " + strconv.Itoa(q.Requests), seconds(q.Latency.P50.Value),
			seconds(q.Latency.P90.Value), seconds(q.Latency.P99.Value), good, q.Verdict})
	}
	p.table([]string{"offered (1/s)", "achieved (1/s)", "clips", "p50", "p90", "p99", "goodput (1/h)",
		"verdict"}, rows)

	if kept, saturated := r.SaturationPoint(); kept > 0 || saturated > 0 {
		if kept > 0 {
			p.printf("The server keeps up with %s requests/s.\n", plainNumber(kept))
		}
		if saturated > 0 {
			p.printf("%s requests/s saturate it.\n", plainNumber(saturated))
		}
		p.printf("\n")
	}
}

// faults is the section of a run on which something was done to the servers.
func (p *page) faults(f Faults) {
	p.printf("## Faults\n\n")
	row := func(name string, l Load) []string {
		good := ""
		if l.Goodput != nil {
			good = plainNumber(l.Goodput.Clips)
		}
		return []string{name, fmt.Sprintf("%d of %d", l.Completed, l.Requests),
			plainNumber(l.Throughput.Clips), good, seconds(l.Latency.P50.Value),
			seconds(l.Latency.P90.Value)}
	}

	// Both phases in one table, as their difference is what the run was made for.
	p.table([]string{"", "clips", "clips an hour", "goodput (1/h)", "p50", "p90"},
		[][]string{row("undisturbed", f.Undisturbed), row("under faults", f.Under)})
	if kept := f.Kept(); kept > 0 {
		p.printf("Under %d faults, %s of the undisturbed goodput was left.\n\n", len(f.Events),
			inPercent(kept))
	}

	// A fault on an idle server is no test of anything, so it says so.
	var rows [][]string
	for _, e := range f.Events {
		recovery := "hit nothing"
		if e.Recovery != nil {
			recovery = seconds(*e.Recovery)
		} else if len(e.Hit) > 0 {
			recovery = "never"
		}
		rows = append(rows, []string{seconds(e.At), e.Kind, e.Target, strconv.Itoa(len(e.Hit)), recovery,
			strconv.Itoa(e.Redone)})
	}
	p.table([]string{"at", "fault", "of", "requests hit", "recovered after", "steps made again"}, rows)
}
