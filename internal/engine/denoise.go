package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// denoise returns the values of the held tokens of the finished latent.
func (r *run) denoise(ctx context.Context) ([]float32, error) {
	r.saver = r.newSaver(ctx)
	x, err := r.loop(ctx)
	if err == nil {
		r.saver.await()
		r.stepBytes = r.sent() - r.before
		if r.StepCache != nil {
			r.StepCache.clear() // no step can be lost any more
		}
	}
	return x, err
}

// sent counts the bytes that this rank sent to compute: not those of checkpoints and latents.
func (r *run) sent() uint64 { return r.Transport.Stats().BytesSent - r.gathered.Load() }

func (r *run) loop(ctx context.Context) ([]float32, error) {
	if r.layout.Extend {
		return r.extend(ctx)
	}
	sched, err := r.scheduler()
	if err != nil {
		return nil, err
	}
	s := r.Plan.Spec
	noise := diffusion.WindowNoise(r.seeded(ctx), r.e.folder.Transformer.InChannels, r.grid, s.Window,
		s.Overlap)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	x := make([]float32, 0, r.held.Values())
	for _, h := range r.layout.Held(r.Rank) {
		x = append(x, noise.Tokens(h)...)
	}
	from, err := r.resume(ctx, x, func(done int, state [][]float32) error {
		return sched.Restore(done, len(x), state)
	})
	if err != nil {
		return nil, err
	}
	known, err := r.reuse(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("cannot take over what was computed: %w", err)
	}
	if r.group.Rank() == 0 && r.branches()[0] == diffusion.Conditional {
		r.reused = len(known) // the others of its windows reuse the same
	}
	d := r.denoiser(sched)
	d.Windows, d.Velocity = r.held, r.velocity
	if r.salvages() {
		d.Learn = r.learn
	}
	d.Known = func(step, window int) []float32 {
		if step != from {
			return nil
		}
		return known[window]
	}
	d.OnStep = r.boundary(ctx, 0, func() state { return r.whole(x, sched) })
	r.report(job.StageDenoise, from, s.Steps, r.foreseen(from))
	return x, d.Run(ctx, x, from)
}

// seeded returns the generator of the clip's noise. When ctx ends it gives none that is of use.
func (r *run) seeded(ctx context.Context) *diffusion.Generator {
	gen := diffusion.NewGenerator(r.Plan.Spec.Seed)
	gen.StopWhen(func() bool { return ctx.Err() != nil })
	return gen
}

func (r *run) scheduler() (diffusion.Scheduler, error) {
	s := r.Plan.Spec
	return diffusion.NewScheduler(s.Scheduler, s.Steps, s.FlowShift, r.e.sched)
}

// denoiser makes the loop of all but the velocities.
func (r *run) denoiser(sched diffusion.Scheduler) *diffusion.Denoiser {
	d := &diffusion.Denoiser{Scheduler: sched, Guidance: float32(r.Plan.Spec.GuidanceScale)}
	if r.Plan.Mesh.CFG == 2 {
		d.Own, d.Exchange = r.branches()[0], r.exchange
	}
	return d
}

// boundary is what happens after every step: the state is saved, the others hear of it, and it may
// be the last. before is how many steps came before the loop that it is for.
func (r *run) boundary(ctx context.Context, before int, now func() state) func(int,
	time.Duration) error {
	if len(r.steps) == 0 {
		r.before = r.sent()
	}
	return func(done int, took time.Duration) error {
		r.saver.save(before+done, now)
		if h, ok := r.host.(Pacer); ok {
			h.AfterStep(ctx, before+done)
		}
		return r.onStep(before+done, took)
	}
}

func (r *run) velocity(ctx context.Context, p diffusion.Pass, x, v []float32) error {
	window := r.layout.Windows(p.Step)[p.Window]
	return r.pass(ctx, p, window, x, v, wan.Timesteps{Values: []float32{p.Timestep}})
}

// pass runs the model over one window.
func (r *run) pass(ctx context.Context, p diffusion.Pass, window partition.Range, x, v []float32,
	ts wan.Timesteps) error {
	pt := r.grid.PT
	text, err := r.text(p.Branch, partition.Range{Lo: window.Lo * pt, Hi: window.Hi * pt})
	if err != nil {
		return err
	}
	start := time.Now()
	n := (2*p.Window + int(p.Branch)) * r.e.dit.Operations()
	tag := collective.Tag{Step: uint32(p.Step), Op: uint32(n)} //nolint:gosec // job bounds both
	r.seq.Layer = r.layers(p.Step)
	err = r.seq.Forward(ctx, tag, x, v, ts, text)
	r.within.passes++
	if r.group.Size() == 1 && err == nil {
		r.watch.Measured(r.e.dit.Work(window.Len()*r.layout.PerFrame), time.Since(start))
	}
	return err
}

// exchange swaps velocities with the rank that has the same tokens in the other branch's group.
func (r *run) exchange(ctx context.Context, p diffusion.Pass, own []float32) ([]float32, error) {
	u := r.Plan.Mesh.Ulysses
	peer := r.Rank + u
	if _, cfg, _ := r.layout.Place(r.Rank); cfg == 1 {
		peer = r.Rank - u
	}
	tag := collective.Tag{Step: uint32(p.Step), Op: op(opGuidance, p.Window)} //nolint:gosec // few
	if err := r.Transport.Send(ctx, peer, tag, tensor.Bytes(own)); err != nil {
		return nil, err
	}
	return r.floats(ctx, r.Transport, peer, tag, len(own))
}

// badMessage names a peer that sent something of a size that cannot be right.
func (r *run) badMessage(peer int, what string, n int) error {
	return &collective.PeerError{Rank: peer, Err: fmt.Errorf("sent %d bytes of %s", n, what)}
}

// onStep reports progress and ends the loop where others are to go on.
func (r *run) onStep(done int, d time.Duration) error {
	r.steps, r.within.passes = append(r.steps, d), 0
	total := r.Plan.Spec.TotalSteps()
	r.report(job.StageDenoise, done, total, time.Duration(total-done)*r.medianStep())
	if r.Rank == 0 && done < total && r.host.ShouldYield() && r.saver.durable(done) {
		return ErrYielded
	}
	return nil
}
