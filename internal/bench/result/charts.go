package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/longtake/longtake/internal/bench/plot"
)

// chart is a figure of a report.
type chart struct {
	name, alt string
	svg       func() ([]byte, error)
}

// charts are the figures for which a result has data. Each is drawn only when its svg is called, as
// it takes longer than all tables together.
func (r Result) charts() []chart {
	done := completed(inPhase(r.Requests, PhaseMeasure))
	var out []chart
	if len(done) == 0 {
		return out
	}

	out = append(out, chart{"latency.svg", "which share of the clips was complete within which time",
		r.latencyChart(done).SVG})
	if len(r.Rates) > 1 {
		out = append(out, chart{"rates.svg", "latency against the offered rate", r.ratesChart().SVG},
			chart{"throughput.svg", "clips an hour against the offered rate", r.throughputChart().SVG})
	}

	// A timeline of a short run shows its bins and nothing else.
	if len(stagesOf(done)) > 0 {
		out = append(out, chart{"stages.svg", "queue wait and stages of fast and slow clips",
			r.stagesChart(done).SVG})
	}
	if of := ofRanks(done); len(of) > 0 {
		out = append(out, chart{"ranks.svg", "what ranks do in the steps of fast and slow clips",
			ranksChart(of).SVG})
	}
	if r.Faults != nil || r.Scenario.Name == Soak || r.Scenario.Name == Mixed {
		out = append(out, chart{"timeline.svg", "clips an hour over time", r.timelineChart().SVG})
	}
	return out
}

// latencyChart is the distribution of latencies, with its percentiles and the objective: where its
// line crosses the objective's, one reads the share of the clips that were in time.
func (r Result) latencyChart(done []Request) plot.Lines {
	var values []float64
	for _, q := range done {
		values = append(values, q.Latency)
	}
	d := r.Summary.Latency
	unit, by := timeUnit(d.Max)

	// A long tail would press all others against the axis. Over many decades no unit suits both ends.
	wide := d.Max > 20*d.Min && d.Min > 0
	if wide {
		unit, by = "s", 1
	}
	for i := range values {
		values[i] /= by
	}

	l := plot.Lines{Title: fmt.Sprintf("Latency (%s, n = %d)", r.Scenario.Name, len(done)),
		X:      plot.Axis{Label: "latency (" + unit + ")", Log: wide},
		Y:      plot.Axis{Label: "clips (%)", Zero: true, Max: 100},
		Series: []plot.Series{plot.CDF("", values)}}

	// A percentile of too few samples is a line that says more than is known.
	for _, p := range []struct {
		name string
		of   Estimate
	}{{"p50", d.P50}, {"p90", d.P90}, {"p99", d.P99}} {
		if !p.of.Few {
			l.Marks = append(l.Marks, plot.Mark{At: p.of.Value / by, Label: p.name + " " +
				seconds(p.of.Value)})
		}
	}
	if o := r.Scenario.ObjectiveSeconds; o > 0 {
		l.Marks = append(l.Marks, plot.Mark{At: o / by, Label: "objective " + seconds(o)})
	}
	return l
}

// byRate returns the points of a sweep from the lowest rate to the highest. A sweep may have found
// its rates by halving, in any order.
func (r Result) byRate() []Rate {
	return slices.SortedFunc(slices.Values(r.Rates), func(a, b Rate) int {
		return cmp.Compare(a.Offered, b.Offered)
	})
}

// rateAxis is logarithmic where rates span more than a decade, or the low ones, at which a server
// is idle most of the time, would lie on each other.
func rateAxis(points []Rate) plot.Axis {
	return plot.Axis{Label: "offered rate (requests/s)",
		Log: points[0].Offered > 0 && points[len(points)-1].Offered > 10*points[0].Offered}
}

// ratesChart is latency against the offered rate: what a server can take before it saturates.
// Beyond saturation the values depend on how long the run was, and mean nothing but that.
func (r Result) ratesChart() plot.Lines {
	points := r.byRate()
	least, largest := math.Inf(1), 0.0
	for _, p := range points {
		if p.Completed > 0 {
			least, largest = min(least, p.Latency.Min), max(largest, p.Latency.P99.Value)
		}
	}
	unit, by := timeUnit(largest)
	wide := largest > widest*least
	if wide {
		unit, by = "s", 1
	}

	series := []plot.Series{{Name: "p50"}, {Name: "p90"}, {Name: "p99"}}
	for _, p := range points {
		if p.Completed == 0 {
			continue
		}
		for i, e := range []Estimate{p.Latency.P50, p.Latency.P90, p.Latency.P99} {
			s := &series[i]
			s.Points = true
			s.X, s.Y = append(s.X, p.Offered), append(s.Y, e.Value/by)
			if i == 0 { // one band: three would hide each other
				s.Low, s.High = append(s.Low, e.Low/by), append(s.High, e.High/by)
			}
		}
	}

	l := plot.Lines{Title: "Latency against offered rate", X: rateAxis(points), Series: series,
		Y: plot.Axis{Label: "latency (" + unit + ")", Zero: true, Log: wide}}

	// Between these two the server saturates; the sweep cannot say where.
	kept, saturated := r.SaturationPoint()
	if saturated > 0 {
		l.Marks = append(l.Marks, plot.Mark{At: saturated, Label: "saturated"})
	}
	if kept > 0 {
		l.Marks = append(l.Marks, plot.Mark{At: kept, Label: "keeps up"})
	}
	if o := r.Scenario.ObjectiveSeconds; o > 0 {
		l.Marks = append(l.Marks, plot.Mark{At: o / by, Across: true, Label: "objective " + seconds(o)})
	}
	return l
}

// throughputChart is what was made against what was asked for. The line of what was offered is
// where a server without limits would be.
func (r Result) throughputChart() plot.Lines {
	// Completed follows offered up to saturation and stays behind from there on; goodput falls.
	points := r.byRate()
	made := plot.Series{Name: "completed", Points: true}
	good := plot.Series{Name: "goodput", Points: true}
	asked := plot.Series{Name: "offered"}
	for _, p := range points {
		asked.X, asked.Y = append(asked.X, p.Offered), append(asked.Y, p.Offered*3600)
		made.X, made.Y = append(made.X, p.Offered), append(made.Y, p.Achieved*3600)
		if p.Goodput != nil {
			good.X, good.Y = append(good.X, p.Offered), append(good.Y, p.Goodput.Clips)
		}
	}

	series := []plot.Series{made, asked}
	if good.X != nil {
		series = append(series, good)
	}
	wide := points[len(points)-1].Offered > widest*points[0].Offered
	return plot.Lines{Title: "Throughput against offered rate", X: rateAxis(points),
		Y: plot.Axis{Label: "clips an hour", Zero: true, Log: wide}, Series: series}
}

// widest is how many times the least value the largest may be on a linear axis: the least of a
// sweep would lie on the axis beyond that.
const widest = 100

// stagesMax is how many stages have a colour of their own, beside the queue and what is left.
const stagesMax = 5

// stagesChart shows where the time of fast and of slow clips goes: the means of tenths of the clips
// by their latency, or each clip where there are few. Of a tenth the middle half counts, as a
// single clip that took hours would make all other bars vanish.
func (r Result) stagesChart(done []Request) plot.Bars {
	// The unit suits the slowest of the clips that are drawn.
	groups, label := tenths(done)
	last := groups[len(groups)-1]
	unit, by := timeUnit(last[len(last)/2].Latency)
	b := plot.Bars{X: plot.Axis{Label: label}, Title: "Where the time of a clip goes",
		Y: plot.Axis{Label: "time (" + unit + ")"}}
	names := longest(done)

	b.Parts = make([]plot.Part, len(names)+2)
	for i, group := range groups {
		b.Names = append(b.Names, strconv.Itoa(i+1))
		for j, v := range meanStages(group, names) {
			b.Parts[j].Values = append(b.Parts[j].Values, v/by)
		}
	}

	// Parts that no clip has would be in the legend and not in the figure.
	b.Parts[0].Name, b.Parts[len(names)+1].Name = "queue", "other"
	for i, name := range names {
		b.Parts[i+1].Name = name
	}
	b.Parts = slices.DeleteFunc(b.Parts, func(p plot.Part) bool { return slices.Max(p.Values) == 0 })
	return b
}

// tenths divides clips by their latency into ten groups, or one for each where there are few, and
// says so. Of each group the middle half is returned. Fast and slow clips side by side show what
// makes clips slow.
func tenths(done []Request) (groups [][]Request, label string) {
	sorted := slices.Clone(done)
	slices.SortStableFunc(sorted, func(a, b Request) int { return cmp.Compare(a.Latency, b.Latency) })
	n, label := 10, "tenths of the clips, from the fastest to the slowest"
	if len(sorted) < 2*n {
		n, label = len(sorted), "clips, from the fastest to the slowest"
	}
	for i := range n {
		group := sorted[i*len(sorted)/n : (i+1)*len(sorted)/n]
		groups = append(groups, group[len(group)/4:len(group)-len(group)/4])
	}
	return groups, label
}

// longest returns the stages that take most of the time, in the order in which a clip passes them.
// A server may tell of any number; what is left out counts as other.
func longest(done []Request) []string {
	total := map[string]float64{}
	for _, q := range done {
		for name, v := range q.Stages {
			total[name] += v
		}
	}

	names := inOrder(stagesOf(done))
	kept := slices.Clone(names)
	slices.SortStableFunc(kept, func(a, b string) int { return cmp.Compare(total[b], total[a]) })
	kept = kept[:min(stagesMax, len(kept))]
	return slices.DeleteFunc(names, func(s string) bool { return !slices.Contains(kept, s) })
}

// meanStages returns the mean queue wait, stages and rest of the latency of some clips.
func meanStages(group []Request, names []string) []float64 {
	// What no stage tells is a part of its own: a figure whose bars end below the latency would hide
	// what a server does between its stages.
	out := make([]float64, len(names)+2)
	for _, q := range group {
		rest := q.Latency
		add := func(i int, v float64) {
			out[i] += v / float64(len(group))
			rest -= v
		}
		if q.Queue != nil {
			add(0, *q.Queue)
		}

		for i, name := range names {
			add(i+1, q.Stages[name])
		}
		out[len(names)+1] += max(0, rest) / float64(len(group))
	}
	return out
}

// timelineChart is what was made over time, with what was done to the servers. Warm-up is left out.
func (r Result) timelineChart() plot.Lines {
	var counted []Request
	what, label, objective := "Throughput", "clips an hour", math.Inf(1)
	if o := r.Scenario.ObjectiveSeconds; o > 0 {
		what, label, objective = "Goodput", "clips an hour in time", o
	}
	first, last := math.Inf(1), 0.0
	for _, q := range r.Requests {
		if q.Phase != PhaseWarmup && q.OK() {
			counted = append(counted, q)
			first, last = min(first, q.Sent), max(last, q.Done())
		}
	}

	// About five clips fall into a bin of a steady run, so that its line is fairly smooth.
	bins := min(60, max(4, len(counted)/5))
	wide := max(1e-9, last-first) / float64(bins)
	unit, by := timeUnit(last)
	s := plot.Series{Step: true, X: make([]float64, bins+1), Y: make([]float64, bins+1)}
	for i := range s.X {
		s.X[i] = (first + float64(i)*wide) / by
	}
	for _, q := range counted {
		if q.Latency <= objective {
			s.Y[min(bins-1, int((q.Done()-first)/wide))] += 3600 / wide
		}
	}
	s.Y[bins] = s.Y[bins-1]

	// The last bin is drawn to its end.
	l := plot.Lines{Title: what + " over time", Y: plot.Axis{Label: label, Zero: true},
		X: plot.Axis{Label: "time since the start (" + unit + ")"}, Series: []plot.Series{s}}
	if r.Faults != nil {
		l.Title += ", under faults"
		for _, f := range r.Faults.Events {
			l.Marks = append(l.Marks, plot.Mark{At: f.At / by, Label: f.Kind + " " + f.Target})
		}
	}
	return l
}

// timeUnit is the unit for an axis up to so many seconds, and how many seconds it has. Clips take
// from milliseconds (tests of a server) to hours (a minute of video on few devices).
func timeUnit(seconds float64) (string, float64) {
	switch {
	case seconds < 1e-3:
		return "µs", 1e-6
	case seconds < 1:
		return "ms", 1e-3
	case seconds < 300:
		return "s", 1
	case seconds < 4*3600:
		return "min", 60
	}
	return "h", 3600
}

// seconds prints a time in the unit that suits it, with three digits. Pages and labels of figures
// print times with it, so that one can be found in the other.
func seconds(v float64) string {
	if v == 0 {
		return "0 s"
	}
	unit, by := timeUnit(v)
	v /= by
	decimals := min(6, max(0, 2-int(math.Floor(math.Log10(v)+1e-9))))
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + unit
}
