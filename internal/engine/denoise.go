package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// denoise returns the values of the held tokens of the finished latent, [tokens, token width].
func (r *run) denoise(ctx context.Context) ([]float32, error) {
	if err := r.loadControl(ctx); err != nil {
		return nil, err
	}
	r.checkpoints = r.newCheckpointer(ctx)
	loop := r.denoiseTogether
	switch {
	case r.causal():
		loop = r.denoiseBlocks
	case r.layout.Extend:
		loop = r.extend
	}
	x, err := loop(ctx)
	if err != nil {
		return x, err
	}

	r.checkpoints.awaitGathering()
	r.bytesInSteps = r.bytesSent() - r.bytesBeforeSteps
	if r.StepCache != nil {
		r.StepCache.clear() // no step can be lost any more
	}
	return x, nil
}

// bytesSent counts the bytes that this rank sent to compute: not those of checkpoints and latents.
func (r *run) bytesSent() uint64 {
	return r.Transport.Stats().BytesSent - r.bytesGathered.Load()
}

// denoiseTogether runs one denoising loop over all windows of the clip, of which a short clip has
// one.
func (r *run) denoiseTogether(ctx context.Context) ([]float32, error) {
	sched, err := r.newScheduler()
	if err != nil {
		return nil, err
	}
	s := r.Plan.Spec
	r.noise = &noiseSource{r: r, gen: r.generator(ctx)}
	x, err := r.firstValues(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}

	if err := r.startFromVideo(ctx, x, sched); err != nil {
		return nil, err
	}

	// A picture that gives the first latent frame takes the place of its noise.
	if err := r.fillStart(ctx, x); err != nil {
		return nil, err
	}
	given := slices.Clone(x[:r.givenTokens(r.layout.Held(r.Rank)...)*r.e.form.TokenWidth()])

	// A checkpoint has the state after its step; of the step under way, nodes may have velocities.
	from, err := r.resume(ctx, x, func(done int, state [][]float32) error {
		return sched.Restore(done, len(x), state)
	})
	if err != nil {
		return nil, err
	}
	known, err := r.reuseVelocities(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("cannot take over what was computed: %w", err)
	}
	if r.group.Rank() == 0 && r.branches()[0] == diffusion.Conditional {
		r.windowsReused = len(known) // the other ranks of these windows reuse the same
	}

	// Velocities that are known are those of the first step only: later ones depend on its latent.
	d := r.newDenoiser(sched)
	d.Windows, d.Velocity, d.Given = r.windows, r.velocity, given
	if r.cachesSteps() {
		d.Learn = r.cacheVelocity
	}
	d.Known = func(step, window int) []float32 {
		if step != from {
			return nil
		}
		return known[window]
	}
	d.OnStep = r.afterSteps(ctx, 0, func() state { return r.wholeState(x, sched) })
	r.report(job.StageDenoise, from, s.TotalSteps(), r.forecast(from))
	return x, d.Run(ctx, x, from)
}

// generator returns the generator of the clip's noise. Once ctx has ended its numbers are
// worthless.
func (r *run) generator(ctx context.Context) *diffusion.Generator {
	gen := diffusion.NewGenerator(r.Plan.Spec.Seed)
	gen.StopWhen(func() bool { return ctx.Err() != nil })
	return gen
}

// stepTimesteps returns those of the clip's steps, or of the steps of each of its blocks.
func (r *run) stepTimesteps() (ts []float32, err error) {
	if !r.causal() {
		sched, err := r.newScheduler()
		if err != nil {
			return nil, err
		}
		return sched.Timesteps(), nil
	}

	levels, err := r.levels()
	for _, l := range levels {
		ts = append(ts, l.Timestep)
	}
	return ts, err
}

// newScheduler returns the clip's scheduler before its first step, which of an edit is a later one.
func (r *run) newScheduler() (diffusion.Scheduler, error) {
	s := r.Plan.Spec
	sched, err := r.freshScheduler()
	if err != nil || s.Skipped() == 0 {
		return sched, err
	}
	late, ok := sched.(diffusion.Late)
	if !ok {
		return nil, fmt.Errorf("scheduler %q makes no edits: it cannot leave out steps", s.Scheduler)
	}
	return late, late.Skip(s.Skipped())
}

// freshScheduler returns the scheduler of all steps: of given noise levels, or of a number.
func (r *run) freshScheduler() (diffusion.Scheduler, error) {
	s := r.Plan.Spec
	if len(s.Sigmas) == 0 {
		return diffusion.NewScheduler(s.Scheduler, s.Steps, s.FlowShift, r.e.sched)
	}

	var l diffusion.Levels
	for i, v := range s.Sigmas {
		sigma := float32(v)
		t := sigma * float32(r.e.sched.TrainTimesteps)
		if len(s.Timesteps) > 0 {
			t = float32(s.Timesteps[i])
		}
		l.Sigmas, l.Timesteps = append(l.Sigmas, sigma), append(l.Timesteps, t)
	}
	return diffusion.NewLevels(s.Scheduler, l, r.freshNoise)
}

// newDenoiser returns a denoising loop without its velocities and what follows a step.
func (r *run) newDenoiser(sched diffusion.Scheduler) *diffusion.Denoiser {
	d := &diffusion.Denoiser{Scheduler: sched, Guidance: float32(r.Plan.Spec.GuidanceScale)}
	if r.e.folder.Pipeline.Boundary != nil {
		d.Scale = r.scale
	}
	if r.Plan.Mesh.CFG == 2 {
		d.Own, d.Exchange = r.branches()[0], r.exchangeBranch
	}
	return d
}

// velocity is the diffusion.Velocity of windows that are denoised together.
func (r *run) velocity(ctx context.Context, p diffusion.Pass, x, v []float32) error {
	window := r.layout.Windows(p.Step)[p.Window]
	own := r.layout.Own(p.Step, r.Rank, p.Window)
	return r.forward(ctx, p, window, x, v, timesteps(p.Timestep, own.Len(), r.givenTokens(own)))
}

// timesteps are those of a pass over n own tokens, of which the first so many are given: these are
// at timestep 0.
func timesteps(t float32, n, given int) wan.Timesteps {
	if given == 0 {
		return wan.Timesteps{Values: []float32{t}}
	}
	index := make([]int32, n)
	for i := range given {
		index[i] = 1
	}
	return wan.Timesteps{Values: []float32{t, 0}, Index: index}
}

// givenTokens counts the given tokens of the clip in some ranges.
func (r *run) givenTokens(ranges ...partition.Range) (n int) {
	for _, t := range ranges {
		n += t.Cut(r.givenRange()).Len()
	}
	return n
}

// forward runs the transformer over one window of token frames: x and v are this rank's own tokens
// of it, [own, token width]. All ranks of the group call it together.
func (r *run) forward(ctx context.Context, p diffusion.Pass, window partition.Range,
	x, v []float32, ts wan.Timesteps) error {
	if err := r.switchExpert(ctx, p); err != nil {
		return err
	}
	residual, inFull, err := r.residual(p)
	if err != nil {
		return err
	}
	if !inFull {
		return r.skip(ctx, window, residual, x, v, ts)
	}
	pt := r.grid.PT
	text, err := r.windowText(p.Branch, partition.Range{Lo: window.Lo * pt, Hi: window.Hi * pt})
	if err != nil {
		return err
	}
	if err := r.setConditions(window); err != nil {
		return err
	}

	if err := r.setControl(r.seq, p, window); err != nil {
		return err
	}

	// The transformer numbers its messages from n on.
	start := time.Now()
	n := (2*p.Window + int(p.Branch)) * r.e.form.Operations()
	tag := collective.Tag{Step: uint32(p.Step), Op: uint32(n)} //nolint:gosec // job bounds both
	if r.seq.Tiles, err = r.keyTiles(p.Step, window); err != nil {
		return err
	}
	r.seq.Layer, r.seq.Kept = r.layerProgress(p.Step), residual
	err = r.seq.Forward(ctx, tag, x, v, ts, text)
	r.inStep.passes++
	r.meter.waited += r.seq.TakeWaited()

	// A pass that ranks share waits for the slowest of them, which says little of this device, as one
	// that leaves tokens out does of its speed.
	if r.group.Size() == 1 && r.seq.Tiles == nil && err == nil {
		r.watch.Measured(r.work(window), time.Since(start))
	}
	return err
}

// exchangeBranch is the diffusion.Exchange with the rank that has the same tokens in the other
// branch's group.
func (r *run) exchangeBranch(ctx context.Context, p diffusion.Pass, own []float32) ([]float32,
	error) {
	defer r.meter.waiting()()
	u := r.Plan.Mesh.Ulysses
	peer := r.Rank + u
	if _, cfg, _ := r.layout.Place(r.Rank); cfg == 1 {
		peer = r.Rank - u
	}
	tag := collective.Tag{Step: uint32(p.Step), Op: op(opGuidance, p.Window)} //nolint:gosec // few
	if err := r.Transport.Send(ctx, peer, tag, tensor.Bytes(own)); err != nil {
		return nil, err
	}
	return r.recvFloats(ctx, r.Transport, peer, tag, len(own))
}

// afterSteps returns what is called after every step of a loop, before which the clip has had so
// many steps: it saves the state, which now returns as a copy, and reports progress. Its error ends
// the loop.
func (r *run) afterSteps(ctx context.Context, before int, now func() state) func(int,
	time.Duration) error {
	if len(r.stepTimes) == 0 {
		r.bytesBeforeSteps = r.bytesSent()
	}
	return func(done int, took time.Duration) error {
		r.checkpoints.save(before+done, now)
		if h, ok := r.host.(Pacer); ok {
			h.AfterStep(ctx, before+done)
		}
		return r.endStep(before+done, took)
	}
}

// endStep reports a step that is done, and ends the loop with ErrYielded where the host wants the
// rank to yield and the checkpoint of this step is durable.
func (r *run) endStep(done int, took time.Duration) error {
	r.meter.done(took)
	if r.inStep.passes = 0; r.inFull(done - 1) {
		r.stepTimes = append(r.stepTimes, took)
	}
	total := r.Plan.Spec.TotalSteps()
	r.report(job.StageDenoise, done, total, time.Duration(r.stepsLeft(done))*r.medianStep())

	yield := r.Rank == 0 && done < total && (!r.causal() || r.blockEnds(done)) &&
		r.inFull(done) && r.host.ShouldYield()
	if yield && r.checkpoints.awaitDurable(done) {
		return ErrYielded
	}
	return nil
}
