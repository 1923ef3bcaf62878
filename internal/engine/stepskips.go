package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// stepSkips says which steps run all blocks, and keeps what these added for those that do not, as
// TeaCache does (Liu et al. 2024). Which ones is known before an expert's first step, from the
// timesteps and its time embedding alone: all ranks have the same list, and so has every attempt.
//
// None of it is in checkpoints: one is made only where the next step runs all blocks.
type stepSkips struct {
	full      []bool // by step of a window; true until the expert's steps are laid out
	laidOut   []bool // by step of a window: whether full has the final word
	residuals map[skippedPass]*wan.Residual
}

// skippedPass names what a residual belongs to.
type skippedPass struct {
	window int
	branch diffusion.Branch
}

// newStepSkips returns those of the clip, nil where all of its steps run all blocks.
func (r *run) newStepSkips() *stepSkips {
	s := r.Plan.Spec
	if s.StepCache == 0 || r.causal() || s.Schedule == job.ScheduleUniform {
		return nil
	}
	k := &stepSkips{full: make([]bool, len(r.timesteps)), laidOut: make([]bool, len(r.timesteps)),
		residuals: map[skippedPass]*wan.Residual{}}
	for i := range k.full {
		k.full[i] = true
	}
	return k
}

// free gives all residuals back to the device. It may be called of nil.
func (k *stepSkips) free() {
	if k == nil {
		return
	}
	for pass, x := range k.residuals {
		x.Free()
		delete(k.residuals, pass)
	}
}

// fullSteps says which of some steps run all blocks, by the distance of each from the one before:
// the first one, and each at which the distances since the last such step come to the threshold.
func fullSteps(distances []float64, threshold float64) []bool {
	full, since := make([]bool, len(distances)), 0.
	for i, d := range distances {
		if since += d; i == 0 || since >= threshold {
			full[i], since = true, 0
		}
	}
	return full
}

// layOut decides on the steps around one of a window that the expert in use makes. A change of the
// expert begins anew, as the other's blocks add something else. The last step is always in full.
func (r *run) layOut(step int) error {
	k, ts := r.skips, r.timesteps
	if k.laidOut[step] {
		return nil
	}
	lo, hi := step, step+1
	for lo > 0 && r.e.expertAt(ts[lo-1]) == r.e.expertAt(ts[step]) {
		lo--
	}
	for hi < len(ts) && r.e.expertAt(ts[hi]) == r.e.expertAt(ts[step]) {
		hi++
	}

	distances, err := r.seq.StepDistances(ts[lo:hi])
	if err != nil {
		return err
	}
	copy(k.full[lo:], fullSteps(distances, r.Plan.Spec.StepCache))
	k.full[len(ts)-1] = true
	for i := lo; i < hi; i++ {
		k.laidOut[i] = true
	}
	return nil
}

// inFull reports whether a step of the clip runs all blocks. It is known of a step whose expert has
// made one, and of each expert's first.
func (r *run) inFull(step int) bool {
	return r.skips == nil || r.skips.full[step%len(r.skips.full)]
}

// stepsLeft counts the steps after so many that run all blocks, as far as that is known.
func (r *run) stepsLeft(done int) int {
	n := 0
	for i := done; i < r.Plan.Spec.TotalSteps(); i++ {
		if r.inFull(i) {
			n++
		}
	}
	return n
}

// notices tells how many steps ran all blocks, where this attempt knows that of all of them. It may
// be called of nil.
func (k *stepSkips) notices() []string {
	if k == nil || slices.Contains(k.laidOut, false) {
		return nil
	}
	n := 0
	for _, full := range k.full {
		if full {
			n++
		}
	}
	return []string{fmt.Sprintf("%d of %d steps ran the whole model, the others a part of it "+
		"(step_cache)", n, len(k.full))}
}

// residual returns what a pass is to use in place of the blocks or, where it is in full, what is to
// receive what the blocks add; nil where no step is skipped. The expert of the step is in use.
func (r *run) residual(p diffusion.Pass) (x *wan.Residual, inFull bool, err error) {
	if r.skips == nil {
		return nil, true, nil
	}
	step, pass := p.Step%len(r.timesteps), skippedPass{p.Window, p.Branch}
	if err := r.layOut(step); err != nil {
		return nil, false, err
	}
	if x = r.skips.residuals[pass]; x != nil {
		return x, r.skips.full[step], nil
	}
	if x, err = r.seq.NewResidual(); err == nil {
		r.skips.residuals[pass] = x
	}
	return x, true, err
}

// skip is forward for a pass that does not run the blocks.
func (r *run) skip(ctx context.Context, window partition.Range, residual *wan.Residual,
	x, v []float32, ts wan.Timesteps) error {
	if err := r.setConditions(window); err != nil {
		return err
	}
	r.inStep.passes++
	return r.seq.ForwardWith(ctx, residual, x, v, ts)
}

// residualBytes returns the bytes of the device that residuals take, of windows up to a length.
func (r *run) residualBytes(longest partition.Range) int64 {
	if r.skips == nil {
		return 0
	}
	own := r.layout.Split(longest)[r.group.Rank()].Len()
	return int64(r.passes(0)) * r.e.form.ResidualBytes(own)
}
