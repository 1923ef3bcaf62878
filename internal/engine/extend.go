package engine

import (
	"context"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// extend makes windows one after the other, as diffusion.Extender does, and returns the values of
// the held tokens.
func (r *run) extend(ctx context.Context) ([]float32, error) {
	x := make([]float32, r.windows.Values())
	if err := r.fillStart(ctx, x); err != nil {
		return nil, err
	}

	e := r.extender(ctx)
	done, err := r.resume(ctx, x, e.Restore)
	if err != nil {
		return nil, err
	}
	r.report(job.StageDenoise, done, r.Plan.Spec.TotalSteps(), r.forecast(done))
	return x, e.Run(ctx, x, done)
}

// extender is the algorithm for this rank, with the rank's functions for what it computes and
// sends.
func (r *run) extender(ctx context.Context) *diffusion.Extender {
	return &diffusion.Extender{Layout: r.layout, Rank: r.Rank, Held: r.windows, Grid: r.grid,
		Channels: r.e.folder.Transformer.OutChannels, Steps: r.Plan.Spec.Steps,
		Noise: r.generator(ctx), NewScheduler: r.newScheduler, Swap: r.swapWindow,
		Denoiser: func(w, known int, x []float32, sched diffusion.Scheduler) (*diffusion.Denoiser,
			error) {
			return r.windowDenoiser(ctx, w, known, x, sched)
		}}
}

// windowDenoiser is the denoising loop of window w, of whose own tokens the first `known` are
// given.
func (r *run) windowDenoiser(ctx context.Context, w, known int, x []float32,
	sched diffusion.Scheduler) (*diffusion.Denoiser, error) {
	window := r.layout.Windows(0)[w]
	if err := r.useWindow(window); err != nil {
		return nil, err
	}

	tokens := r.layout.Own(0, r.Rank, w).Len()

	// Messages are told apart by their steps, which are those of the clip.
	before := w * r.Plan.Spec.Steps
	clipPass := func(p diffusion.Pass) diffusion.Pass {
		p.Step, p.Window = before+p.Step, 0
		return p
	}

	// The loop is over one window, which is all that the rank computes at a time.
	d := r.newDenoiser(sched)
	d.Velocity = func(ctx context.Context, p diffusion.Pass, x, v []float32) error {
		return r.forward(ctx, clipPass(p), window, x, v, timesteps(p.Timestep, tokens, known))
	}
	if exchange := d.Exchange; exchange != nil {
		d.Exchange = func(ctx context.Context, p diffusion.Pass, own []float32) ([]float32, error) {
			return exchange(ctx, clipPass(p), own)
		}
	}
	d.OnStep = r.afterSteps(ctx, before, func() state { return r.windowState(x, w, sched) })
	return d, nil
}

// position is diffusion.Extender's: in which window the step after `done` steps is, and how many of
// that window's steps are done.
func (r *run) position(done int) (window, steps int) {
	e := diffusion.Extender{Layout: r.layout, Steps: r.Plan.Spec.Steps}
	return e.Position(done)
}

// windowState is the state of a clip whose window w is being made: the latent of the whole clip,
// and what the scheduler keeps of the window until that is done.
func (r *run) windowState(x []float32, w int, sched diffusion.Scheduler) state {
	latent := r.heldTensor(r.checkpoints.clone(0, x))
	latent.gives = r.layout.KeptDuring(w)
	s := state{covers: []partition.Range{{Hi: r.layout.Tokens()}}, tensors: []tokenTensor{latent}}
	if sched.Done() == r.Plan.Spec.Steps {
		return s
	}

	// Each rank of the first branch gives what it computes of the window.
	gives := make([][]partition.Range, r.layout.Mesh.Size())
	for rank := range gives {
		if _, cfg, _ := r.layout.Place(rank); cfg == 0 {
			gives[rank] = []partition.Range{r.layout.Own(0, rank, w)}
		}
	}
	window, width := r.layout.TokensOf(r.layout.Windows(0)[w]), r.e.form.TokenWidth()
	first := r.layout.Own(0, r.Rank, w).Lo
	for i, v := range sched.State() {
		own := r.checkpoints.clone(1+i, v)
		s.covers = append(s.covers, window)
		s.tensors = append(s.tensors, tokenTensor{gives, func(t partition.Range) []float32 {
			return own[(t.Lo-first)*width : (t.Hi-first)*width]
		}})
	}
	return s
}
