package diffusion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/tensor"
)

// Branch is one pass of classifier-free guidance (Ho & Salimans 2022).
type Branch int

// The branches, in the order of the ranks that compute them.
const (
	Conditional Branch = iota
	Unconditional
)

// String names the branch.
func (b Branch) String() string {
	if b == Unconditional {
		return "unconditional"
	}
	return "conditional"
}

// Pass is one run of the model: over one window of the clip, in one branch.
type Pass struct {
	Step, Window int
	Branch       Branch
	Timestep     float32
}

// Velocity predicts the velocity v of x, a rank's own tokens of the pass's window
// [own, token width]. All ranks of a sequence-parallel group call it together.
type Velocity func(ctx context.Context, p Pass, x, v []float32) error

// Exchange gives the own velocity to the rank that computed the other branch for the same tokens,
// and returns that rank's.
type Exchange func(ctx context.Context, p Pass, own []float32) ([]float32, error)

// Denoiser runs a rank's part of the denoising loop. Everything in it works element by element on
// the tokens that the rank holds, so no rank ever needs the whole latent.
type Denoiser struct {
	Scheduler Scheduler
	Velocity  Velocity
	// Guidance is the scale w of v = u + w·(c - u); 1 or less leaves the unconditional branch out.
	Guidance float32
	// Exchange is set where the branches are computed by different ranks; Own tells which is here.
	Exchange Exchange
	Own      Branch
	// Windows say what is computed where; nil: all that is held is one window.
	Windows *Windows
	// Window is the number of what is held where that is one window of several.
	Window int
	// Given are known values at the beginning of x, which stay as they are.
	Given []float32
	// Known returns a window's velocity if it is there before it is computed, else nil; Learn is told
	// of every window's velocity. Either may be nil.
	Known func(step, window int) []float32
	Learn func(step, window int, v []float32)
	// OnStep is called after every step with the count of steps done and the step's duration. An
	// error stops the loop.
	OnStep func(done int, d time.Duration) error

	other []float32 // scratch
}

// Run denoises x in place from step `from` (0 for a fresh clip) to the end. A velocity or a latent
// that is NaN or infinite ends it at its step, with a *tensor.NotFiniteError. The latent stands for
// all that the scheduler keeps: every part of that goes into it.
func (d *Denoiser) Run(ctx context.Context, x []float32, from int) error {
	timesteps := d.Scheduler.Timesteps()
	v := make([]float32, len(x))
	copy(x, d.Given)
	for i := from; i < len(timesteps); i++ {
		start := time.Now()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.predict(ctx, i, timesteps[i], x, v); err != nil {
			return fmt.Errorf("cannot compute step %d of %d: %w", i+1, len(timesteps), err)
		}
		if err := d.Scheduler.Step(i, x, v); err != nil {
			return fmt.Errorf("cannot apply step %d of %d: %w", i+1, len(timesteps), err)
		}
		if err := tensor.CheckFinite("the latent", x); err != nil {
			return fmt.Errorf("cannot go on after step %d of %d: %w", i+1, len(timesteps), err)
		}
		copy(x, d.Given)
		if d.OnStep == nil {
			continue
		}
		if err := d.OnStep(i+1, time.Since(start)); err != nil {
			return err
		}
	}
	return nil
}

// predict fills v with the guided velocity of step i, blended where windows overlap.
func (d *Denoiser) predict(ctx context.Context, i int, t float32, x, v []float32) error {
	if d.Windows == nil {
		return d.window(ctx, Pass{Step: i, Window: d.Window, Timestep: t}, x, v)
	}
	run := d.Windows.run(i)
	own := make([][]float32, 0, run.Len())
	for w := run.Lo; w < run.Hi; w++ {
		at := d.Windows.place(i, w)
		own = append(own, d.Windows.buffer(w-run.Lo, at.Len()))
		p := Pass{Step: i, Window: w, Timestep: t}
		if err := d.window(ctx, p, x[at.Lo:at.Hi], own[len(own)-1]); err != nil {
			return err
		}
	}
	return d.Windows.blend(ctx, i, own, v)
}

// window fills v with the guided velocity of one window.
func (d *Denoiser) window(ctx context.Context, p Pass, x, v []float32) error {
	var known []float32
	if d.Known != nil {
		known = d.Known(p.Step, p.Window)
	}
	if known != nil {
		copy(v, known)
	} else if err := d.guided(ctx, p, x, v); err != nil {
		return err
	}
	if d.Learn != nil {
		d.Learn(p.Step, p.Window, v)
	}
	return nil
}

func (d *Denoiser) guided(ctx context.Context, p Pass, x, v []float32) error {
	if d.Guidance <= 1 || d.Exchange == nil {
		if err := d.pass(ctx, p, x, v); err != nil || d.Guidance <= 1 {
			return err
		}
		if len(d.other) < len(x) {
			d.other = make([]float32, len(x))
		}
		p.Branch = Unconditional
		u := d.other[:len(x)]
		if err := d.pass(ctx, p, x, u); err != nil {
			return err
		}
		Guide(v, v, u, d.Guidance)
		return nil
	}
	own := make([]float32, len(x)) // handed over to the peer
	p.Branch = d.Own
	if err := d.pass(ctx, p, x, own); err != nil {
		return err
	}
	copy(v, own)
	other, err := d.Exchange(ctx, p, own)
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

// pass is one run of the model. Its velocity is looked at before any other value goes into it, so
// that the error names the window and the branch.
func (d *Denoiser) pass(ctx context.Context, p Pass, x, v []float32) error {
	err := d.Velocity(ctx, p, x, v)
	if err == nil {
		err = tensor.CheckFinite("the velocity", v)
	}
	if _, bad := errors.AsType[*tensor.NotFiniteError](err); bad {
		err = fmt.Errorf("window %d, %v branch: %w", p.Window+1, p.Branch, err)
	}
	return err
}

// Guide computes dst = u + scale·(c - u) element by element, each operation rounded to float32.
// dst may be c or u.
func Guide(dst, c, u []float32, scale float32) {
	for i := range dst {
		dst[i] = u[i] + float32(scale*float32(c[i]-u[i]))
	}
}
