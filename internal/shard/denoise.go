package shard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/tensor"
)

// denoise returns the own tokens of the finished latent.
func (r *run) denoise(ctx context.Context) ([]float32, error) {
	s := r.Plan.Spec
	sched, err := diffusion.NewScheduler(s.Scheduler, s.Steps, s.FlowShift, r.e.sched)
	if err != nil {
		return nil, err
	}
	channels := r.e.folder.Transformer.InChannels
	noise := make([]float32, channels*r.grid.T*r.grid.H*r.grid.W)
	diffusion.NewGenerator(s.Seed).Randn(noise)
	x := diffusion.Tokens(noise, channels, r.grid, r.seq.Own())
	from, err := r.resume(ctx, x, sched)
	if err != nil {
		return nil, err
	}
	r.saver = r.newSaver(ctx)
	d := &diffusion.Denoiser{Scheduler: sched, Velocity: r.velocity,
		Guidance: float32(s.GuidanceScale), OnStep: func(done int, took time.Duration) error {
			r.saver.save(done, x, sched)
			if r.AfterStep != nil {
				r.AfterStep(ctx, done)
			}
			return r.onStep(done, took)
		}}
	if r.Plan.Mesh.CFG == 2 {
		d.Own, d.Exchange = r.branches()[0], r.exchange
	}
	r.report(job.StageDenoise, from, s.Steps, 0)
	if err := d.Run(ctx, x, from); err != nil {
		return nil, err
	}
	r.saver.await()
	return x, nil
}

func (r *run) velocity(ctx context.Context, step int, b diffusion.Branch, t float32,
	x, v []float32) error {
	tag := collective.Tag{Step: uint32(step), Op: uint32(b) * branchOps}
	return r.seq.Forward(ctx, tag, x, v, wan.Timesteps{Values: []float32{t}}, r.texts[b])
}

// exchange swaps velocities with the rank that has the same tokens in the other branch's group.
func (r *run) exchange(ctx context.Context, step int, own []float32) ([]float32, error) {
	u := r.Plan.Mesh.Ulysses
	peer := (r.Rank.Rank + u) % (2 * u)
	tag := collective.Tag{Step: uint32(step), Op: opGuidance}
	if err := r.Transport.Send(ctx, peer, tag, tensor.Bytes(own)); err != nil {
		return nil, err
	}
	b, err := r.Transport.Recv(ctx, peer, tag)
	if err != nil {
		return nil, err
	}
	if len(b)%4 != 0 {
		return nil, r.badMessage(peer, "velocity", len(b))
	}
	return tensor.Floats(b), nil
}

// badMessage names a peer that sent something of a size that cannot be right.
func (r *run) badMessage(peer int, what string, n int) error {
	return &collective.PeerError{Rank: peer, Err: fmt.Errorf("sent %d bytes of %s", n, what)}
}

// onStep reports progress and ends the loop when the job was cancelled.
func (r *run) onStep(done int, d time.Duration) error {
	r.steps = append(r.steps, d)
	total := r.Plan.Spec.Steps
	r.report(job.StageDenoise, done, total, time.Duration(total-done)*r.medianStep())
	if r.Cancelled != nil && r.Cancelled() {
		return ErrCancelled
	}
	if r.Yield != nil && r.Rank.Rank == 0 && done < total && r.Yield() && r.saver.durable(done) {
		return ErrYielded
	}
	return nil
}

func (r *run) medianStep() time.Duration {
	if len(r.steps) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.steps))
	return sorted[len(sorted)/2]
}
