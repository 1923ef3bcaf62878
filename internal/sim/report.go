package sim

import (
	"maps"
	"time"
)

// Report is what a simulated day came to.
type Report struct {
	// Clips are the jobs that were taken, in that order. Refused are requests that found the queue
	// full, by class.
	Clips   []Clip
	Refused map[int]int
	// Ended is when the last job was over.
	Ended time.Duration
	// Devices is where the time of all machines went until then, in seconds.
	Devices DeviceTime
	Series  []Point
	// Incidents counts what happened to machines that ran.
	Incidents   map[Kind]int
	Coordinator Load
	Stats       Stats
	// Log is the SHA-256 of all committed entries, one after the other with its length; Decisions is
	// of what was decided when, without what was metered.
	Log, Decisions string
}

// DeviceTime is where the time of machines went, in seconds: Useful, Setup and Lost are the sums of
// the clips' and make up Busy; Busy, Idle and Away make up Total.
type DeviceTime struct {
	Total, Busy, Idle, Away float64
	Useful, Setup, Lost     float64
}

// Point is a part of the day of length Setup.Step. What is not a count is the mean.
type Point struct {
	At               time.Duration // its start
	Busy, Idle, Away float64       // devices
	Useful           float64       // of the busy ones
	Queued, Running  float64       // jobs
	Commands         int
	Bytes            int64 // that these add to the log
}

// Load is what coordinators have to do. Heartbeats are counted by how many there would be.
type Load struct {
	// Commands and Bytes are what was committed, by kind, and the totals of that.
	Commands     map[string]int
	Bytes        map[string]int64
	EntriesTotal int
	BytesTotal   int64
	Most         int // commands in a second
	// Snapshot is the largest one that stood for the log, in bytes.
	Snapshot   int
	Heartbeats float64
	Elections  int
}

// finish closes the accounts at the end of the day: what machines are at counts until now.
func (d *day) finish() {
	for _, n := range d.w.nodes {
		if k := n.account.work; k != nil {
			d.clips[k.plan.Job].Busy += d.since() - n.account.since
		}
	}
	for _, g := range d.gauges {
		g.until(d.since())
	}
}

// report puts the accounts together.
func (d *day) report() *Report {
	r := &Report{Refused: maps.Clone(d.refused), Ended: d.since(), Stats: d.w.stats,
		Incidents: maps.Clone(d.incidents), Log: sum(d.log), Decisions: sum(d.decisions)}
	for _, c := range d.order {
		r.Clips = append(r.Clips, c.Clip)
		r.Devices.Useful += c.Useful.Seconds()
		r.Devices.Setup += c.Setup.Seconds()
	}

	t := &r.Devices
	t.Busy, t.Idle, t.Away = d.gauges[gaugeBusy].sum(), d.gauges[gaugeIdle].sum(),
		d.gauges[gaugeAway].sum()
	t.Total, t.Lost = t.Busy+t.Idle+t.Away, t.Busy-t.Useful-t.Setup

	l := d.load
	r.Coordinator = Load{Commands: l.commands, Bytes: l.bytes, Most: l.most,
		Snapshot: l.snapshotMax, Elections: d.w.stats.Terms,
		Heartbeats: (t.Busy + t.Idle) / heartbeat.Seconds()}
	for kind, n := range l.commands {
		r.Coordinator.EntriesTotal += n
		r.Coordinator.BytesTotal += l.bytes[kind]
	}
	r.Series = d.series()
	return r
}

// series are the means of each step. The last one may be shorter than the others, as the day ends
// with its last job.
func (d *day) series() (out []Point) {
	steps := len(d.gauges[gaugeIdle].sums)
	at := func(g *gauge, i int, length time.Duration) float64 {
		if i < len(g.sums) {
			return g.sums[i] / length.Seconds()
		}
		return 0
	}

	for i := range steps {
		begin := time.Duration(i) * d.s.Step
		length := min(d.s.Step, d.since()-begin)
		p := Point{At: begin, Useful: at(&d.useful, i, length)}
		for gauge, into := range map[int]*float64{gaugeBusy: &p.Busy, gaugeIdle: &p.Idle,
			gaugeAway: &p.Away, gaugeQueued: &p.Queued, gaugeRunning: &p.Running} {
			*into = at(d.gauges[gauge], i, length)
		}
		if i < len(d.load.perStep) {
			p.Commands, p.Bytes = d.load.perStep[i], d.load.bytesStep[i]
		}
		out = append(out, p)
	}
	return out
}
