package scenario

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/sim"
)

// Limits of a scenario.
const (
	durationMost = 7 * 24 * time.Hour
	requestsMost = 1_000_000 // a day of a thousand GPUs has tens of thousands
	classesMost  = 32
	faultsMost   = 32      // kinds, and as many operations
	eventsMost   = 100_000 // faults of a kind
	dayMost      = 1024    // weights of a day
	nameMax      = 64      // bytes
	factorMost   = 100     // a device that is slower than that does nothing
)

// setDefaults fills what a file leaves out. Coordinators have the defaults of real ones but for the
// tick, which is four times as long: what happens between ticks is decided on at once in any case.
func (s *Scenario) setDefaults() {
	set(&s.Duration, 24*hour)
	set(&s.Rest, 24*hour)
	set(&s.Seed, 1)
	c := &s.Cluster
	set(&c.Room, 1)
	set(&c.Profile, perf.Longtake)
	set(&c.Load, minute)
	set(&c.Boot, minute)
	if len(c.Models) == 0 {
		c.Models = []string{"Wan2.2-T2V-A14B"}
	}

	k := &s.Coordinators

	set(&k.Members, 3)
	set(&k.CheckpointEvery, 1)
	set(&k.Queued, 1000)
	set(&k.Kept, 10_000)
	set(&k.LostAfter, 3*second)
	set(&k.HungAfter, 10*second)
	set(&k.Yield, minute)
	set(&k.Tick, second)

	// What each item of a list leaves out.
	set(&s.Arrivals.Process, "poisson")
	set(&s.Arrivals.After, minute)
	for i := range s.Clips {
		set(&s.Clips[i].Share, 1)
		set(&s.Clips[i].Name, fmt.Sprint("clip ", i+1))
		set(&s.Clips[i].Model, c.Models[0])
	}
	for i := range s.Faults {
		set(&s.Faults[i].Scope, device)
		set(&s.Faults[i].For, 10*minute)
	}
	for i := range s.Operations {
		set(&s.Operations[i].Hosts, 1)
	}
}

const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)

	device = "device"
	host   = "host"
)

func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// check bounds what can be bounded without the pool and the models. Each error is one line with the
// key as the file has it, so that what is wrong is found without a manual.
func (s *Scenario) check() error {
	if len(s.Name) > nameMax {
		return fmt.Errorf("name is %.40q; allowed: up to %d bytes", s.Name, nameMax)
	}
	for _, d := range []struct {
		key         string
		v           Duration
		least, most time.Duration
	}{{"duration", s.Duration, time.Second, durationMost}, {"rest", s.Rest, 0, durationMost},
		{"cluster.load", s.Cluster.Load, 0, time.Hour},
		{"cluster.boot", s.Cluster.Boot, 5 * time.Second, durationMost},
		{"cluster.later.at", s.Cluster.Later.At, 0, durationMost},
		{"arrivals.after", s.Arrivals.After, 0, durationMost},
		{"coordinators.lost-after", s.Coordinators.LostAfter, time.Second, time.Hour},
		{"coordinators.hung-after", s.Coordinators.HungAfter, time.Second, time.Hour},
		{"coordinators.yield", s.Coordinators.Yield, time.Second, time.Hour},
		{"coordinators.tick", s.Coordinators.Tick, 10 * time.Millisecond, time.Minute}} {
		if v := time.Duration(d.v); v < d.least || v > d.most {
			return fmt.Errorf("%s is %v; allowed: %v to %v", d.key, v, d.least, d.most)
		}
	}

	for _, n := range []struct {
		key     string
		v, most int
		least   int
	}{{"cluster.room", s.Cluster.Room, 64, 1}, {"cluster.later.hosts", s.Cluster.Later.Hosts, 4096, 0},
		{"coordinators.members", s.Coordinators.Members, 7, 1},
		{"coordinators.checkpoint-every", s.Coordinators.CheckpointEvery, 1000, 1},
		{"coordinators.queued", s.Coordinators.Queued, 100_000, 1},
		{"coordinators.kept", s.Coordinators.Kept, 100_000, 1},
		{"the number of clips", len(s.Clips), classesMost, 1},
		{"the number of faults", len(s.Faults), faultsMost, 0},
		{"the number of operations", len(s.Operations), faultsMost, 0}} {
		if n.v < n.least || n.v > n.most {
			return fmt.Errorf("%s is %d; allowed: %d to %d", n.key, n.v, n.least, n.most)
		}
	}

	if s.Cluster.Pool == "" {
		return fmt.Errorf(`cluster.pool is ""; allowed: such as 8x(8xH100)+ib400, or a YAML file`)
	}
	return cmp.Or(s.Arrivals.check(s.Duration), s.checkClips(), s.checkFaults(), s.checkOperations())
}

// check bounds how many requests there are: each takes memory and some milliseconds.
func (a Arrivals) check(d Duration) error {
	if a.Process != poisson && a.Process != even {
		return fmt.Errorf("arrivals.process is %.40q; allowed: %s, %s", a.Process, poisson, even)
	}
	if n := float64(a.Rate) * time.Duration(d).Seconds(); !(n > 0 && n <= requestsMost) {
		return fmt.Errorf("arrivals.rate comes to %.4g requests in %v; allowed: above 0 to %d", n, d,
			requestsMost)
	}

	// A weight is of nothing in particular: their sum is the day.
	sum := 0.0
	for _, w := range a.Day {
		if !(w >= 0 && w <= ratesMost) {
			return fmt.Errorf("arrivals.day has a weight of %v; allowed: 0 to %g", w, float64(ratesMost))
		}
		sum += w
	}
	if len(a.Day) > dayMost || len(a.Day) > 0 && sum == 0 {
		return fmt.Errorf("arrivals.day has %d weights of %g in all; allowed: up to %d, one above 0",
			len(a.Day), sum, dayMost)
	}
	return nil
}

// Processes by which requests arrive.
const (
	poisson = "poisson"
	even    = "even"
)

// checkClips bounds the classes; what a model allows is checked with the model, by the same rules
// as a request to a coordinator.
func (s *Scenario) checkClips() error {
	seen := map[string]bool{}
	for i, c := range s.Clips {
		key := fmt.Sprintf("clips[%d]", i)

		switch {
		case len(c.Name) > nameMax || seen[c.Name]:
			return fmt.Errorf("%s.name is %.40q; allowed: one of its own, up to %d bytes", key, c.Name,
				nameMax)
		case !(c.Share > 0 && c.Share <= ratesMost):
			return fmt.Errorf("%s.share is %v; allowed: above 0 to %g", key, c.Share, float64(ratesMost))
		case time.Duration(c.Objective) > durationMost:
			return fmt.Errorf("%s.objective is %v; allowed: up to %v", key, c.Objective, durationMost)
		case c.Frames != 0 && c.Seconds != 0:
			return fmt.Errorf("%s has frames and seconds; allowed: one of them", key)
		}
		seen[c.Name] = true
	}
	return nil
}

// faultKinds are what may go wrong, and opKinds what operators do.
var (
	faultKinds = []sim.Kind{sim.Crash, sim.Hang, sim.Freeze, sim.Cut, sim.Slow, sim.Leader}
	opKinds    = []sim.Kind{sim.Drain, sim.Restart}
)

// oneOf says which kinds are allowed, for errors.
func oneOf(kinds []sim.Kind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

func isOf(kinds []sim.Kind, k string) bool {
	for _, o := range kinds {
		if string(o) == k {
			return true
		}
	}
	return false
}

// checkFaults bounds them. A fault says how often it comes in one way, as two would add up to what
// nobody meant; only a straggler has a factor, as all others do nothing at all.
func (s *Scenario) checkFaults() error {
	for i, f := range s.Faults {
		key := fmt.Sprintf("faults[%d]", i)
		n := float64(f.Count) + float64(f.Rate)*time.Duration(s.Duration).Seconds()

		switch {
		case !isOf(faultKinds, f.Kind):
			return fmt.Errorf("%s.kind is %.40q; allowed: %s", key, f.Kind, oneOf(faultKinds))
		case f.Scope != device && f.Scope != host:
			return fmt.Errorf("%s.scope is %.40q; allowed: %s, %s", key, f.Scope, device, host)
		case f.Count < 0 || (f.Count > 0) == (f.Rate > 0) || n > eventsMost:
			return fmt.Errorf("%s has count %d and rate %.4g/h; allowed: one of them, up to %d in all", key,
				f.Count, 3600*float64(f.Rate), eventsMost)
		case time.Duration(f.For) > durationMost:
			return fmt.Errorf("%s.for is %v; allowed: up to %v", key, f.For, durationMost)
		case (f.Kind == string(sim.Slow)) != (f.Factor != 0),
			f.Factor != 0 && !(f.Factor >= 1 && f.Factor <= factorMost) || math.IsNaN(f.Factor):
			return fmt.Errorf("%s.factor is %v; allowed: 1 to %d of kind %s, none of others", key, f.Factor,
				factorMost, sim.Slow)
		}
	}
	return nil
}

// checkOperations bounds them; which hosts there are is checked with the pool. Operators only do
// what they do to real clusters: they drain nodes, and start processes anew.
func (s *Scenario) checkOperations() error {
	for i, o := range s.Operations {
		key := fmt.Sprintf("operations[%d]", i)
		for _, d := range []Duration{o.At, o.Every, o.Within, o.For} {
			if time.Duration(d) > durationMost {
				return fmt.Errorf("%s has a time of %v; allowed: up to %v", key, d, durationMost)
			}
		}
		if !isOf(opKinds, o.Kind) {
			return fmt.Errorf("%s.kind is %.40q; allowed: %s", key, o.Kind, oneOf(opKinds))
		}
	}
	return nil
}
