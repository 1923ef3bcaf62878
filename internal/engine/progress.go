package engine

import (
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// reportEvery is how often rank 0 reports how far it is within a step.
const reportEvery = 500 * time.Millisecond

// stepProgress is where a rank is in a step, which has one or more passes through the model.
type stepProgress struct {
	passes   int       // that are done
	begun    time.Time // the begin of the first of them
	reported time.Time // the latest report
}

// report tells the host what is done of a stage, and about how long the rest of it takes; 0: not
// known.
func (r *run) report(s job.Stage, done, total int, eta time.Duration) {
	r.sendProgress(job.Progress{Stage: s, Done: done, Total: total, ETA: eta})
}

// sendProgress completes a report with what all of them have.
func (r *run) sendProgress(p job.Progress) {
	r.inStep.reported = time.Now()
	p.Job, p.Attempt, p.Ranks = r.Plan.Job, r.Plan.Attempt, r.ranksDecoding
	r.host.Progress(p)
}

// layerProgress returns what is called as layers of a step's next pass are done, with the part of
// them, from 0 to 1.
func (r *run) layerProgress(step int) func(part float64) {
	passes := r.passes(step)
	if r.inStep.passes == 0 {
		r.inStep.begun = time.Now()
	}
	return func(part float64) {
		r.watch.Computed(part)
		if step < r.doneBefore {
			return // a block of an earlier attempt, whose keys and values are computed again
		}
		if r.Rank == 0 && time.Since(r.inStep.reported) >= reportEvery {
			r.reportStep(step, min(1, (float64(r.inStep.passes)+part)/float64(passes)))
		}
	}
}

// passes returns how many passes through the model a step has on this rank.
func (r *run) passes(step int) int {
	n := len(r.branches())
	if !r.layout.Extend {
		n *= max(1, r.layout.Run(step, r.Rank).Len())
	}
	return n
}

// forecast returns how long all steps from one on take by the speed of the device; 0 if that is not
// known.
func (r *run) forecast(from int) time.Duration {
	if r.Speed == 0 {
		return 0
	}

	// Passes of a group are shared by its ranks, and all windows take about the same.
	window := r.layout.Windows(from)[0]
	pass := r.work(window) / float64(r.group.Size())
	steps := float64(r.Plan.Spec.TotalSteps() - from)
	seconds := min(steps*float64(r.passes(from))*pass/r.Speed, 1e9) // within a Duration
	return time.Duration(seconds * float64(time.Second))
}

// work returns the multiplications and additions of a pass over a window. A block of a causal clip
// attends to all that is kept, as most blocks of a long clip do.
func (r *run) work(window partition.Range) float64 {
	tokens := window.Len() * r.layout.PerFrame
	if r.causal() {
		return r.e.form.WorkOver(tokens, r.reach().Blocks*tokens)
	}
	return r.e.form.Work(tokens)
}

// reportStep reports a step that takes a while, of which a part is done. Before the first step is
// done, the time that is left follows from that part.
func (r *run) reportStep(step int, part float64) {
	each := float64(r.medianStep())
	if each == 0 {
		each = float64(time.Since(r.inStep.begun)) / part
	}
	total := r.Plan.Spec.TotalSteps()
	r.sendProgress(job.Progress{Stage: job.StageDenoise, Done: step, Part: part, Total: total,
		ETA: time.Duration(each * (float64(r.stepsLeft(step)) - part))})
}

// medianStep returns the median time of this attempt's steps, but for those that were skipped; 0
// before the first one is done.
func (r *run) medianStep() time.Duration {
	if len(r.stepTimes) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.stepTimes))
	return sorted[len(sorted)/2]
}
