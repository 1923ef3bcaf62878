package controlplane

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Row is a line of a Result for people: what was measured, and its value with a unit.
type Row struct{ Name, Value string }

// Rows are all lines of a result but for those of Kinds: first what was loaded with what, then what
// came of it, in the order of the phases.
func (r *Result) Rows() (out []Row) {
	add := func(name, format string, args ...any) {
		out = append(out, Row{name, fmt.Sprintf(format, args...)})
	}

	l, s := r.Load, r.Steady
	kind := "open"
	if l.Locked {
		kind = "locked"
	}

	where := "processes"
	if !l.Processes {
		where = "within this process"
	}
	add("coordinators", "%d, %s, %s", l.Coordinators, kind, where)
	add("shards", "%d, %d on a host, %d to a clip, steps of %v", l.Shards, l.PerHost, l.Ranks,
		l.StepTime)

	add("registration of all", "%s; each %v", Span(r.Start.Seconds), r.Start.Register)
	add("heartbeats and reports", "%.0f/s, %.0f/s", s.HeartbeatsPerSecond, s.ReportsPerSecond)
	add("Raft's log", "%.0f entries/s, %s/s, %s snapshots", s.EntriesPerSecond,
		bytesOf(s.BytesPerSecond), snapshotsOf(s.Snapshots))
	add("commit, decision (p99, leader)", "%s, %s", Span(s.CommitP99), Span(s.DecideP99))
	add("leader", "%.2f cores, %s", s.Cores, bytesOf(s.Memory))
	if s.Moved {
		add("  which does not lead any more", "its figures are of a part of the time")
	}
	add("saving a snapshot", "%s in %s", bytesOf(float64(s.Snapshot.Bytes)),
		Span(s.Snapshot.Seconds))
	add("metrics", "%s in %s", bytesOf(float64(s.Metrics.Bytes)), Span(s.Metrics.Seconds))
	add("list of shards", "%s", Span(s.Nodes.Seconds))

	if f := r.Failover; f != nil {
		add("leader lost, first command", "%s", Span(f.Command))
		add("leader lost, all registered", "%s; each %v", Span(f.Registered), f.Register)
		add("attempts lost with the leader", "%d", f.AttemptsLost)
	}
	if f := r.Restart; f != nil {
		add("all shards restarted", "%s; each %v", Span(f.Seconds), f.Register)
	}

	// In the end what matters most: whether the coordinators have kept their word.
	j := r.Jobs
	add("clips", "%d acknowledged: %d completed, %d cancelled, %d failed, %d lost", j.Acknowledged,
		j.Completed, j.Cancelled, j.Failed, j.Lost)
	add("machine", "%d CPUs, %s; load before %.2f, generator %.2f cores", r.Machine.CPUs, r.Machine.OS,
		r.Machine.LoadBefore, r.Machine.Own)
	return out
}

// Kind is a line of the table of what was asked for during the steady load.
type Kind struct {
	Name      string
	PerSecond float64
	Times
}

// Kinds are all commands together, then each of them, then what is not committed, by name.
func (r *Result) Kinds() []Kind {
	s := r.Steady
	of := func(name string, t Times) Kind {
		return Kind{Name: name, PerSecond: float64(t.Count) / max(s.Seconds, 1e-9), Times: t}
	}

	out, rest := []Kind{of("all commands", s.Commands)}, []Kind{}
	for _, name := range slices.Sorted(maps.Keys(s.Each)) {
		if slices.Contains(commands, name) {
			out = append(out, of("  "+name, s.Each[name]))
		} else {
			rest = append(rest, of(name, s.Each[name]))
		}
	}
	return append(out, rest...)
}

// snapshotsOf writes how many snapshots there were, as far as that shows.
func snapshotsOf(n int) string {
	if n > 1 {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

// String writes percentiles for people, and how many requests had no answer if there were some:
// they are in none of the percentiles.
func (t Times) String() string {
	text := fmt.Sprintf("p50 %s, p99 %s, max %s", Span(t.P50), Span(t.P99), Span(t.Max))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d without an answer", t.Failed)
	}
	return text
}

// Span writes a time with two or three digits, which is more than repeats from run to run.
func Span(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f s", s)
}

// bytesOf writes a number of bytes, or of bytes a second, in powers of a thousand.
func bytesOf(n float64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", n/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", n/1e6)
	}
	return fmt.Sprintf("%.1f GB", n/1e9)
}
