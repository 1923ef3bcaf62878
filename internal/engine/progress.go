package engine

import (
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// partEvery is how often rank 0 says how far it is within a step.
const partEvery = 500 * time.Millisecond

// within is where a rank is in a step.
type within struct {
	passes int       // that are done
	begun  time.Time // of the first of them
	told   time.Time // of the latest report
}

// report tells what is done of a stage.
func (r *run) report(s job.Stage, done, total int, eta time.Duration) {
	r.tell(job.Progress{Stage: s, Done: done, Total: total, ETA: eta})
}

func (r *run) tell(p job.Progress) {
	r.within.told = time.Now()
	p.Job, p.Attempt, p.Ranks = r.Plan.Job, r.Plan.Attempt, r.ranks
	r.host.Progress(p)
}

// layers returns what hears of the layers of a step's next pass.
func (r *run) layers(step int) func(part float64) {
	passes := r.passes(step)
	if r.within.passes == 0 {
		r.within.begun = time.Now()
	}
	return func(part float64) {
		r.watch.Computed(part)
		if r.Rank == 0 && time.Since(r.within.told) >= partEvery {
			r.tellPart(step, min(1, (float64(r.within.passes)+part)/float64(passes)))
		}
	}
}

// foreseen is how long all steps from one on take by the speed of the device, 0 if that is not
// known.
func (r *run) foreseen(from int) time.Duration {
	if r.Speed == 0 {
		return 0
	}
	window := r.layout.Windows(from)[0]
	pass := r.e.dit.Work(window.Len()*r.layout.PerFrame) / float64(r.group.Size())
	steps := float64(r.Plan.Spec.TotalSteps() - from)
	seconds := min(steps*float64(r.passes(from))*pass/r.Speed, 1e9)
	return time.Duration(seconds * float64(time.Second))
}

// passes returns how many a step has.
func (r *run) passes(step int) int {
	n := len(r.branches())
	if !r.layout.Extend {
		n *= max(1, r.layout.Run(step, r.Rank).Len())
	}
	return n
}

// tellPart reports a step that takes a while. Before the first one is done, the time that is left
// follows from the layers.
func (r *run) tellPart(step int, part float64) {
	each := float64(r.medianStep())
	if each == 0 {
		each = float64(time.Since(r.within.begun)) / part
	}
	total := r.Plan.Spec.TotalSteps()
	r.tell(job.Progress{Stage: job.StageDenoise, Done: step, Part: part, Total: total,
		ETA: time.Duration(each * (float64(total-step) - part))})
}

func (r *run) medianStep() time.Duration {
	if len(r.steps) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.steps))
	return sorted[len(sorted)/2]
}
