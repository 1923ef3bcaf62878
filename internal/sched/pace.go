package sched

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Pace is what the leader has measured of a job's live attempt from rank 0's reports. It says what
// is left of the clip in time, what a restart costs, and when a rank takes suspiciously long.
type Pace struct {
	Attempt job.Attempt
	// Placed is when the attempt's ranks started; At is when it last advanced.
	Placed, At time.Time
	// Setup is the time from the start of the ranks to the first denoising step.
	Setup time.Duration
	// Stage and Done are of the latest report that advanced.
	Stage job.Stage
	Done  int
	// Slowest is the longest advance of this stage so far.
	Slowest time.Duration
	// Mean is a running mean of a denoising step; 0: none is done yet.
	Mean time.Duration
}

// Advance takes in a report that arrived now. A report of another attempt starts a new measurement.
func (p *Pace) Advance(r job.Progress, now time.Time) {
	if r.Attempt != p.Attempt || p.Placed.IsZero() {
		*p = Pace{Attempt: r.Attempt, Placed: now, At: now}
	}

	switch took := now.Sub(p.At); {
	case r.Stage != p.Stage:
		if r.Stage == job.StageDenoise {
			p.Setup = now.Sub(p.Placed)
		}
		p.Stage, p.Done, p.At, p.Slowest = r.Stage, r.Done, now, 0
	case r.Done > p.Done:
		each := took / time.Duration(r.Done-p.Done) // a report may be of several steps
		if r.Stage == job.StageDenoise {
			p.Mean = runningMean(p.Mean, each)
		}
		p.Slowest = max(p.Slowest, took)
		p.Done, p.At = r.Done, now
	}
}

// runningMean weighs the latest value by a quarter, the first one in full.
func runningMean(mean, next time.Duration) time.Duration {
	if mean == 0 {
		return next
	}
	return (3*mean + next) / 4
}

// measured reports whether a step of the live attempt has been timed.
func (r *Running) measured() bool { return r.Pace.Attempt == r.Attempt && r.Pace.Mean > 0 }

// timeLeft is what the denoising steps take that are left after the one in work.
func (r *Running) timeLeft() time.Duration {
	return time.Duration(r.Spec.TotalSteps()-r.Pace.Done-1) * r.Pace.Mean
}

// moveCost is what a restart on other nodes takes: the setup again, and half a step for the ranks
// to reach the boundary.
func (r *Running) moveCost() time.Duration { return r.Pace.Setup + r.Pace.Mean/2 }

// Rounded rounds a duration for people: to seconds above ten of them, else to hundredths.
func Rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
