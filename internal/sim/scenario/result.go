package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sim"
)

// Version is that of Result's JSON. Fields are added, and never change their meaning.
const Version = 1

// Result is what a scenario came to. Times are in seconds, and those of devices in hours.
type Result struct {
	Version int `json:"version"`
	// What was simulated: the scenario's name, and what decides about the rest.
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Pool     string `json:"pool"`
	Devices  int    `json:"devices"`
	Hosts    int    `json:"hosts"`
	// Hours are those in which requests came. Ended is when the last clip was over, in seconds.
	Hours float64 `json:"hours"`
	Ended float64 `json:"ended"`

	// All is of all clips, Classes of those of each class, in the scenario's order.
	All     Group   `json:"all"`
	Classes []Group `json:"classes"`

	// Utilisation is the part of the time of devices that were there, while requests came, in which
	// they had a rank. Goodput is the part of the time of all devices, until the end, that went into
	// what was delivered.
	Utilisation float64     `json:"utilisation"`
	Goodput     float64     `json:"goodput"`
	DeviceHours DeviceHours `json:"device_hours"`

	// Incidents counts the devices that were hit by each kind; elections say how often the leader was.
	Incidents map[string]int `json:"incidents"`
	// Planned has when faults came and operators did something, in order; of very many, the first.
	Planned     []Incident  `json:"planned"`
	Coordinator Coordinator `json:"coordinator"`
	// Series has the day in 288 parts, and what follows it in more of the same length.
	Series []Point `json:"series"`
	// Waits has the hours of requests in 48 parts: how long those had to wait that came in one.
	Waits []Waits `json:"waits"`
	// Log is a SHA-256 of the log, equal for two runs of a scenario.
	Log string `json:"log_sha256"`
}

// Group is the clips of a class, or all of them.
type Group struct {
	Name string `json:"name"`
	// Asked are all that were asked for: Completed, Failed, Refused, and those that were cancelled.
	Asked     int     `json:"asked"`
	Completed int     `json:"completed"`
	Failed    int     `json:"failed"`
	Refused   int     `json:"refused"` // the queue was full
	PerHour   float64 `json:"completed_per_hour"`
	// Wait is from the request to the first attempt, Latency to the clip.
	Wait    Spread `json:"wait"`
	Latency Spread `json:"latency"`
	// Distribution has the percentiles of Wait from 0 to 100, the least and the longest included; none
	// without a clip.
	Distribution []float64 `json:"wait_percentiles"`
	// Objective is the latency objective, and Met the part of all that were asked for that had it; 0:
	// there is none.
	Objective float64 `json:"objective,omitempty"`
	Met       float64 `json:"objective_met,omitempty"`
	Attempts  float64 `json:"attempts"` // of a clip, on average
}

// Spread sums up values in seconds. Percentiles are of the nearest rank, as everywhere in results
// of benchmarks.
type Spread struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// DeviceHours is where the time of devices went: Useful, Setup and Lost make up Busy; Busy, Idle
// and Away make up Total.
type DeviceHours struct {
	Total  float64 `json:"total"`
	Busy   float64 `json:"busy"`
	Useful float64 `json:"useful"`
	Setup  float64 `json:"setup"`
	Lost   float64 `json:"lost"`
	Idle   float64 `json:"idle"`
	Away   float64 `json:"away"`
}

// Coordinator is what the leader had to do. How long it takes for it is not simulated: that is a
// matter of its disk and its network.
type Coordinator struct {
	// Commands are entries of the log, each of which goes to the disks of a majority. Most is how many
	// there were in the second that had the most.
	Commands  int            `json:"commands"`
	ByKind    map[string]int `json:"commands_by_kind"`
	PerSecond float64        `json:"commands_per_second"`
	Most      int            `json:"commands_in_a_second_most"`
	// Heartbeats are what nodes say every half second, which is not in the log.
	Heartbeats float64 `json:"heartbeats_per_second"`
	// The log's bytes are those before snapshots take its place. SnapshotMost is the largest snapshot.
	LogBytes     int64   `json:"log_bytes"`
	LogPerHour   float64 `json:"log_bytes_per_hour"`
	SnapshotMost int     `json:"snapshot_bytes_most"`
	// Elections are changes of the leader, the first one among them.
	Elections int `json:"elections"`
}

// Point is the mean of a part of the day.
type Point struct {
	Hours float64 `json:"hours"` // at its start
	// Devices with a rank, without one, and those whose process does not run.
	Busy float64 `json:"busy"`
	Idle float64 `json:"idle"`
	Away float64 `json:"away"`
	// Useful are those of Busy whose work was delivered in the end.
	Useful float64 `json:"useful"`
	// Jobs.
	Queued  float64 `json:"queued"`
	Running float64 `json:"running"`
	// What was committed.
	Commands float64 `json:"commands_per_second"`
	LogBytes float64 `json:"log_bytes_per_second"`
}

// Waits is of the requests that came in a part of the day. Percentiles are 0 where none came.
type Waits struct {
	Hours float64 `json:"hours"` // at its start
	Asked int     `json:"asked"` // without those that were refused
	P50   float64 `json:"p50"`   // seconds
	P90   float64 `json:"p90"`
	Max   float64 `json:"max"`
}

// Incident is a fault, or what operators do.
type Incident struct {
	Hours   float64 `json:"hours"`
	Kind    string  `json:"kind"`
	Devices int     `json:"devices"` // 0: it is of the leader
}

// Limits of what a result lists.
const (
	waitsParts = 48
	plannedMax = 1000
)

// Run simulates the plan. watch is told now and then how much of the time of requests is over, and
// returns whether to go on; nil: it does. The error is sim.ErrStopped, or a *sim.Failure if one of
// the promises was broken that all simulated clusters are held to.
func (p *Plan) Run(watch func(part float64) bool) (*Result, error) {
	if watch != nil {
		p.setup.Watch = func(since time.Duration) bool {
			return watch(float64(since) / float64(p.Duration))
		}
	}
	r, err := sim.Simulate(p.setup)
	var broken *sim.Failure
	if errors.As(err, &broken) && broken.Kind == "stuck" {
		return nil, fmt.Errorf("%v behind the last request clips still wait (%s); a longer rest, fewer "+
			"requests, or more devices are needed", p.Rest, broken.What)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot simulate the scenario: %w", err)
	}
	return p.sum(r), nil
}

// Requests is how many there are, whatever becomes of them.
func (p *Plan) Requests() int { return len(p.setup.Requests) }

// Incidents is how many there are; one of a host hits all of its devices.
func (p *Plan) Incidents() int { return len(p.setup.Incidents) }

// sum puts the result together, in units that people read: seconds for clips, hours for devices.
func (p *Plan) sum(r *sim.Report) *Result {
	out := &Result{Version: Version, Scenario: p.Name, Seed: p.Seed, Pool: p.Cluster.Pool,
		Devices: len(p.Pool.Nodes), Hosts: len(p.hosts()), Hours: time.Duration(p.Duration).Hours(),
		Ended: r.Ended.Seconds(), Incidents: map[string]int{}, Log: r.Log}
	all := make([][]sim.Clip, len(p.Clips))
	refused := 0
	for _, c := range r.Clips {
		all[c.Class] = append(all[c.Class], c)
	}
	for i, c := range p.Clips {
		g := p.group(c.Name, all[i], r.Refused[i], time.Duration(c.Objective))
		out.Classes = append(out.Classes, g)
		refused += g.Refused
	}

	out.All = p.group("all", r.Clips, refused, 0)
	for kind, n := range r.Incidents {
		out.Incidents[string(kind)] = n
	}

	const hour = 3600
	t := r.Devices
	out.DeviceHours = DeviceHours{Total: t.Total / hour, Busy: t.Busy / hour, Useful: t.Useful / hour,
		Setup: t.Setup / hour, Lost: t.Lost / hour, Idle: t.Idle / hour, Away: t.Away / hour}
	out.Goodput = t.Useful / t.Total

	// Utilisation is of the time in which requests came: what follows has fewer and fewer jobs.
	busy, there := 0.0, 0.0
	step := 0.0
	if len(r.Series) > 1 {
		step = r.Series[1].At.Seconds()
	}
	for _, s := range r.Series {
		if s.At < time.Duration(p.Duration) {
			busy, there = busy+s.Busy, there+s.Busy+s.Idle
		}

		point := Point{Hours: s.At.Hours(), Busy: s.Busy, Idle: s.Idle, Away: s.Away, Useful: s.Useful,
			Queued: s.Queued, Running: s.Running}
		if step > 0 {
			point.Commands, point.LogBytes = float64(s.Commands)/step, float64(s.Bytes)/step
		}
		out.Series = append(out.Series, point)
	}
	out.Utilisation = busy / max(there, 1e-9)

	out.Waits, out.Planned = p.waits(r.Clips), p.planned()

	k := r.Coordinator
	out.Coordinator = Coordinator{Commands: k.EntriesTotal, ByKind: k.Commands,
		PerSecond: float64(k.EntriesTotal) / r.Ended.Seconds(), Most: k.Most,
		Heartbeats: k.Heartbeats / r.Ended.Seconds(), LogBytes: k.BytesTotal,
		LogPerHour: float64(k.BytesTotal) / r.Ended.Hours(), SnapshotMost: k.Snapshot,
		Elections: k.Elections}
	return out
}

// group sums clips up. Those that were refused count as asked for, and as not in time: for whoever
// asked there is no difference between a clip that comes late and one that never does.
func (p *Plan) group(name string, clips []sim.Clip, refused int, objective time.Duration) Group {
	g := Group{Name: name, Asked: len(clips) + refused, Refused: refused,
		Objective: objective.Seconds()}
	var wait, latency []float64
	attempts, met := 0, 0

	// A job that was cancelled, or failed, has waited, and has no latency.
	for _, c := range clips {
		attempts += c.Attempts

		if c.Attempts > 0 {
			wait = append(wait, (c.Started - c.Created).Seconds())
		}

		switch c.State {
		case job.Completed:
			g.Completed++
			took := c.Finished - c.Created
			latency = append(latency, took.Seconds())
			if took <= objective {
				met++
			}
		case job.Failed:
			g.Failed++
		}
	}
	g.Wait, g.Latency = spread(wait), spread(latency)
	for i := 0; i <= 100 && len(wait) > 0; i++ {
		g.Distribution = append(g.Distribution, result.Percentile(wait, float64(i)/100))
	}
	g.PerHour = float64(g.Completed) / time.Duration(p.Duration).Hours()
	if g.Asked > 0 {
		g.Met = float64(met) / float64(g.Asked)
	}
	if len(clips) > 0 {
		g.Attempts = float64(attempts) / float64(len(clips))
	}
	return g
}

// spread sums values up, and sorts them. Percentiles are values that occurred: of few values the
// high ones are all the largest, and say little.
func spread(v []float64) (s Spread) {
	if len(v) == 0 {
		return s
	}
	slices.SortFunc(v, cmp.Compare[float64])
	for _, x := range v {
		s.Mean += x / float64(len(v))
	}

	at := func(p float64) float64 { return result.Percentile(v, p) }
	s.P50, s.P90, s.P99, s.Max = at(0.5), at(0.9), at(0.99), v[len(v)-1]
	return s
}

// waits groups clips by when they were asked for, so that the busy hours show beside the quiet
// ones. Clips that never started have no wait, and are in no part.
func (p *Plan) waits(clips []sim.Clip) []Waits {
	part := time.Duration(p.Duration) / waitsParts
	values := make([][]float64, waitsParts)
	for _, c := range clips {
		if c.Attempts > 0 {
			i := min(int(c.Created/part), waitsParts-1)
			values[i] = append(values[i], (c.Started - c.Created).Seconds())
		}
	}

	var out []Waits
	for i, v := range values {
		s := spread(v)
		out = append(out, Waits{Hours: (part * time.Duration(i)).Hours(), Asked: len(v), P50: s.P50,
			P90: s.P90, Max: s.Max})
	}
	return out
}

// planned lists what was drawn to happen, and what operators had in mind.
func (p *Plan) planned() []Incident {
	out := []Incident{}
	for _, x := range p.setup.Incidents {
		out = append(out, Incident{Hours: x.At.Hours(), Kind: string(x.Kind), Devices: len(x.Machines)})
	}
	slices.SortStableFunc(out, func(a, b Incident) int { return cmp.Compare(a.Hours, b.Hours) })
	return out[:min(len(out), plannedMax)]
}
