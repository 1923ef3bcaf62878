package scenario

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/bench/plot"
)

// chart is a figure of a report: its file, what it shows to those who do not see it, and what a
// reader has to know to read it.
type chart struct {
	name, alt, note string
	figure          interface{ SVG() ([]byte, error) }
}

// charts are the figures of a day, in the order of the page.
func (r *Result) charts() []chart {
	return []chart{
		{"queue.svg", "jobs that wait and that run over the day", "", r.queueChart()},
		{"waits.svg", "waits of the clips that were asked for in each part of the day",
			"Waits are of the clips that were asked for in each of 48 parts.", r.waitsChart()},
		{"distribution.svg", "which share of the clips started within which time", r.fewClasses(),
			r.distributionChart()},
		{"devices.svg", "utilisation and goodput over the day, with faults",
			"Goodput is work that was delivered in the end, at the time at which it was done. Broken\n" +
				"lines are faults and operations; those of many are short.", r.devicesChart()},
		{"commands.svg", "commands of the coordinators a second over the day", "", r.commandsChart()},
		{"log.svg", "what the log grows by over the day", "", r.logChart()},
	}
}

// axis is time from the start, in minutes for what is shorter than a few hours; by is the unit, in
// hours.
func (r *Result) axis() (a plot.Axis, by float64) {
	if r.Hours < 2 {
		return plot.Axis{Label: "time since the start (min)", Zero: true}, 1. / 60
	}
	return plot.Axis{Label: "time since the start (h)", Zero: true}, 1
}

// unitFor is the unit in which people read times up to so many seconds, and what it is in seconds.
func unitFor(most float64) (name string, seconds float64) {
	switch {
	case most < 300:
		return "s", 1
	case most < 3*3600:
		return "min", 60
	}
	return "h", 3600
}

// pointsMax is how many points of a series a figure shows: lines with more of them, of jobs that
// come and go, fill an area.
const pointsMax = 100

// over draws a value of the series, up to so many hours. Neighbours share a point where there are
// too many.
func (r *Result) over(name string, hours float64, value func(Point) float64) plot.Series {
	_, by := r.axis()
	points := r.Series
	for i, p := range points {
		if p.Hours >= hours {
			points = points[:i]
			break
		}
	}

	s := plot.Series{Name: name, Step: true}
	for some := range slices.Chunk(points, max(1, (len(points)+pointsMax-1)/pointsMax)) {
		sum := 0.0
		for _, p := range some {
			sum += value(p)
		}
		s.X, s.Y = append(s.X, some[0].Hours/by), append(s.Y, sum/float64(len(some)))
	}

	// The last value holds until the end.
	if n := len(s.X); n > 0 {
		s.X, s.Y = append(s.X, min(hours, r.Ended/3600)/by), append(s.Y, s.Y[n-1])
	}
	return s
}

// queueChart goes on until the last clip is over: how long that takes says how far behind the
// cluster was.
func (r *Result) queueChart() plot.Lines {
	x, by := r.axis()
	end := r.Ended / 3600
	l := plot.Lines{Title: "Jobs", X: x, Y: plot.Axis{Label: "jobs", Zero: true},
		Series: []plot.Series{r.over("waiting", end, func(p Point) float64 { return p.Queued }),
			r.over("running", end, func(p Point) float64 { return p.Running })}}
	if end > 1.02*r.Hours {
		l.Marks = []plot.Mark{{At: r.Hours / by, Label: "requests end"}}
	}
	return l
}

// waitsChart has no point for parts of the day in which nobody asked: its lines go on to the next
// one that has clips.
func (r *Result) waitsChart() plot.Lines {
	x, by := r.axis()
	unit, seconds := unitFor(r.All.Wait.Max)
	series := []plot.Series{{Name: "p50"}, {Name: "p90"}, {Name: "longest"}}
	for _, w := range r.Waits {
		if w.Asked == 0 {
			continue
		}
		for i, v := range []float64{w.P50, w.P90, w.Max} {
			s := &series[i]
			s.X, s.Y = append(s.X, w.Hours/by), append(s.Y, v/seconds)
			s.Points = len(s.X) < 10 // one without neighbours would be no line
		}
	}
	return plot.Lines{Title: "Wait, by when a clip was asked for", X: x, Series: series,
		Y: plot.Axis{Label: "wait (" + unit + ")", Zero: true, Max: 1}}
}

// shortest is where the axis of waits begins, in seconds: those who wait less do not wait.
const shortest = 0.1

// classesMax is how many classes a figure can tell apart.
const classesMax = 7

// fewClasses says that not all are in the figure.
func (r *Result) fewClasses() string {
	note := "Waits of up to 0.1 s are drawn at its left end."
	if len(r.Classes) > classesMax {
		note += fmt.Sprintf(" Of the %d classes it has the %d\nthat were asked for most.",
			len(r.Classes), classesMax)
	}
	return note
}

// distributionChart is of waits by class, from percentiles. The axis is logarithmic: urgent clips
// wait for seconds where others do for hours.
func (r *Result) distributionChart() plot.Lines {
	groups := slices.Clone(r.Classes)
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(b.Asked, a.Asked) })
	groups = groups[:min(len(groups), classesMax)]
	if len(r.Classes) > 1 {
		groups = append(groups, r.All)
	}

	l := plot.Lines{Title: "Wait, by class", X: plot.Axis{Label: "wait (s)", Log: true, Max: 10},
		Y: plot.Axis{Label: "clips that started (%)", Zero: true, Max: 100}}
	for _, g := range groups {
		s := plot.Series{Name: g.Name, Step: true}
		for i, v := range g.Distribution {
			s.X, s.Y = append(s.X, max(v, shortest)), append(s.Y, float64(i))
		}

		// Where all have started, a line goes on to the end that others have.
		if len(s.X) > 0 {
			s.X, s.Y = append(s.X, max(r.All.Wait.Max, shortest)), append(s.Y, 100)
		}
		l.Series = append(l.Series, s)
	}
	return l
}

// labelsMax is how many faults can have their names in a figure.
const labelsMax = 8

// devicesChart ends with the last request: what follows has fewer and fewer jobs.
func (r *Result) devicesChart() plot.Lines {
	x, by := r.axis()
	busy := func(p Point) float64 { return 100 * p.Busy / max(p.Busy+p.Idle, 1e-9) }
	good := func(p Point) float64 { return 100 * p.Useful / max(p.Busy+p.Idle+p.Away, 1e-9) }
	l := plot.Lines{Title: "Devices", X: x, Y: plot.Axis{Label: "share of devices (%)", Zero: true,
		Max: 100}, Series: []plot.Series{r.over("utilisation", r.Hours, busy),
		r.over("goodput", r.Hours, good)}}

	for _, i := range r.Planned {
		m := plot.Mark{At: i.Hours / by}
		if len(r.Planned) <= labelsMax {
			m.Label = i.Kind
		}
		l.Marks = append(l.Marks, m)
	}
	return l
}

// commandsChart is what a disk has to bear: each command is written by a majority before the next
// decision counts. It goes on to the end, as the work does.
func (r *Result) commandsChart() plot.Lines {
	x, _ := r.axis()
	return plot.Lines{Title: "Commands of the coordinators", X: x, Y: plot.Axis{Zero: true,
		Label: "commands (1/s)"}, Series: []plot.Series{r.over("", r.Ended/3600,
		func(p Point) float64 { return p.Commands })}}
}

// logChart is the log as it grows, before snapshots take its place. Bytes of a command depend on
// how many shards a job has, so it is not the commands' figure in another unit.
func (r *Result) logChart() plot.Lines {
	x, _ := r.axis()
	return plot.Lines{Title: "Growth of the log", X: x, Y: plot.Axis{Zero: true, Label: "log (kB/s)"},
		Series: []plot.Series{r.over("", r.Ended/3600, func(p Point) float64 {
			return p.LogBytes / 1000
		})}}
}
