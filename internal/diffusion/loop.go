package diffusion

import (
	"context"
	"fmt"
	"time"
)

// Branch is one pass of classifier-free guidance (Ho & Salimans 2022).
type Branch int

// The branches, in the order of the ranks that compute them.
const (
	Conditional Branch = iota
	Unconditional
)

// Velocity predicts the velocity v of x, a rank's own tokens [own, token width], for one branch at
// a timestep. All ranks of a sequence-parallel group call it together.
type Velocity func(ctx context.Context, step int, b Branch, timestep float32, x, v []float32) error

// Exchange gives the own velocity to the rank that computed the other branch for the same tokens,
// and returns that rank's.
type Exchange func(ctx context.Context, step int, own []float32) ([]float32, error)

// Denoiser runs a rank's part of the denoising loop. Everything in it works element by element on
// the own tokens, so no rank ever needs the whole latent.
type Denoiser struct {
	Scheduler Scheduler
	Velocity  Velocity
	// Guidance is the scale w of v = u + w·(c - u); 1 or less leaves the unconditional branch out.
	Guidance float32
	// Exchange is set where the branches are computed by different ranks; Own tells which is here.
	Exchange Exchange
	Own      Branch
	// OnStep is called after every step with the count of steps done and the step's duration. An
	// error stops the loop: that is how a cancellation takes effect at a step boundary.
	OnStep func(done int, d time.Duration) error
}

// Run denoises x in place from step `from` (0 for a fresh clip) to the end.
func (d *Denoiser) Run(ctx context.Context, x []float32, from int) error {
	timesteps := d.Scheduler.Timesteps()
	v, u := make([]float32, len(x)), make([]float32, len(x))
	for i := from; i < len(timesteps); i++ {
		start := time.Now()
		if err := d.predict(ctx, i, timesteps[i], x, v, u); err != nil {
			return fmt.Errorf("cannot compute step %d of %d: %w", i+1, len(timesteps), err)
		}
		if err := d.Scheduler.Step(i, x, v); err != nil {
			return fmt.Errorf("cannot apply step %d of %d: %w", i+1, len(timesteps), err)
		}
		if d.OnStep == nil {
			continue
		}
		if err := d.OnStep(i+1, time.Since(start)); err != nil {
			return err
		}
	}
	return nil
}

// predict fills v with the guided velocity of step i; u is scratch.
func (d *Denoiser) predict(ctx context.Context, i int, t float32, x, v, u []float32) error {
	if d.Guidance <= 1 {
		return d.Velocity(ctx, i, Conditional, t, x, v)
	}
	if d.Exchange == nil {
		if err := d.Velocity(ctx, i, Conditional, t, x, v); err != nil {
			return err
		}
		if err := d.Velocity(ctx, i, Unconditional, t, x, u); err != nil {
			return err
		}
		Guide(v, v, u, d.Guidance)
		return nil
	}
	own := make([]float32, len(x)) // handed over to the peer
	if err := d.Velocity(ctx, i, d.Own, t, x, own); err != nil {
		return err
	}
	copy(v, own)
	other, err := d.Exchange(ctx, i, own)
	if err != nil {
		return err
	}
	if len(other) != len(x) {
		return fmt.Errorf("the other branch sent %d values, %d expected", len(other), len(x))
	}
	if d.Own == Conditional {
		Guide(v, v, other, d.Guidance)
	} else {
		Guide(v, other, v, d.Guidance)
	}
	return nil
}

// Guide computes dst = u + scale·(c - u) element by element, each operation rounded to float32.
// dst may be c or u.
func Guide(dst, c, u []float32, scale float32) {
	for i := range dst {
		dst[i] = u[i] + float32(scale*float32(c[i]-u[i]))
	}
}
