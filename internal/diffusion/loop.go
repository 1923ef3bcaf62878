package diffusion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/tensor"
)

// Branch is one of the two passes of classifier-free guidance (Ho & Salimans 2022): with the
// prompt, or with the negative prompt.
type Branch int

// The branches, in the order of the ranks that compute them.
const (
	Conditional Branch = iota
	Unconditional
)

// String returns the branch's name, for errors.
func (b Branch) String() string {
	if b == Unconditional {
		return "unconditional"
	}
	return "conditional"
}

// Pass identifies one run of the model: over one window of the clip, in one branch, at one step.
type Pass struct {
	Step, Window int // from 0
	Branch       Branch
	Timestep     float32 // 0 to 1000, as Scheduler.Timesteps gives it
}

// Velocity predicts the velocity v of x, a rank's own tokens of the pass's window, both [own, token
// width]. All ranks of a sequence-parallel group call it together, with the same Pass.
type Velocity func(ctx context.Context, p Pass, x, v []float32) error

// Exchange sends the own velocity to the rank that computed the other branch for the same tokens,
// and returns that rank's. It may keep own.
type Exchange func(ctx context.Context, p Pass, own []float32) ([]float32, error)

// Denoiser runs one rank's part of the denoising loop. Everything in it works element by element on
// the tokens that the rank holds, so no rank ever needs the whole latent. It belongs to one
// goroutine, on which it calls all of its functions.
type Denoiser struct {
	Scheduler Scheduler
	Velocity  Velocity
	// Guidance is the scale w of v = u + w·(c - u), with c the conditional velocity and u the
	// unconditional one. At 1 or less, the unconditional branch is not computed at any step.
	Guidance float32
	// Scale returns w for a pass, where it is not the same at all steps; nil: Guidance. That one
	// decides alone whether there is guidance.
	Scale func(Pass) float32
	// Exchange is set where the branches are computed by different ranks. Own is the branch of this
	// one.
	Exchange Exchange
	Own      Branch
	// Windows says which windows are computed here and how they are blended; nil: all that the rank
	// holds is one window.
	Windows *Windows
	// Window is the number of the held window, where windows are made one after the other.
	Window int
	// Given are known values at the beginning of x, which every step leaves as they are.
	Given []float32
	// Known returns a window's velocity if an earlier attempt at the step has computed it, else
	// nil. Learn is called with every window's velocity. Either may be nil.
	Known func(step, window int) []float32
	Learn func(step, window int, v []float32)
	// OnStep is called after every step with the number of steps done and the step's duration. If
	// it returns an error, Run ends with it.
	OnStep func(done int, d time.Duration) error

	other []float32 // the second branch's velocity, where both are computed here
}

// Run denoises x in place from step `from`, 0 for a fresh clip, to the end. If ctx ends, its cause
// is returned. A velocity or a latent that is NaN or infinite ends it at its step, with a
// *tensor.NotFiniteError. Only the latent is checked after a step: whatever else the scheduler
// keeps goes into it.
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
			return fmt.Errorf("cannot continue after step %d of %d: %w", i+1, len(timesteps), err)
		}

		// The solver moves given values, too: put them back.
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

// predict fills v with the guided velocity of step i: of the one held window, or of all of the
// rank's windows, blended where windows overlap.
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

// window fills v with the guided velocity of one window, known or computed.
func (d *Denoiser) window(ctx context.Context, p Pass, x, v []float32) error {
	var known []float32

	// A window that is known costs nothing but the copy.
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

// guided fills v with the guided velocity of one window. Both branches run here, one after the
// other, or this rank's does and the other's arrives by Exchange.
func (d *Denoiser) guided(ctx context.Context, p Pass, x, v []float32) error {
	if d.Guidance <= 1 || d.Exchange == nil {
		if err := d.pass(ctx, p, x, v); err != nil || d.Guidance <= 1 {
			return err
		}

		// Guided, with both branches on this rank: conditional into v, then unconditional.
		if len(d.other) < len(x) {
			d.other = make([]float32, len(x))
		}
		p.Branch = Unconditional

		u := d.other[:len(x)]
		if err := d.pass(ctx, p, x, u); err != nil {
			return err
		}
		Guide(v, v, u, d.scale(p))
		return nil
	}

	// Guided, with the other branch on another rank.
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

	// Both ranks compute the same: conditional first, whichever of the two is here.
	if d.Own == Conditional {
		Guide(v, v, other, d.scale(p))
	} else {
		Guide(v, other, v, d.scale(p))
	}
	return nil
}

// scale returns the guidance scale of a pass.
func (d *Denoiser) scale(p Pass) float32 {
	if d.Scale == nil {
		return d.Guidance
	}
	return d.Scale(p)
}

// pass is one run of the model. Its velocity is checked before it is combined with any other, so
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

// Guide computes dst = u + scale·(c - u) element by element, each operation rounded to float32, as
// WanPipeline does. dst may be c or u.
func Guide(dst, c, u []float32, scale float32) {
	for i := range dst {
		dst[i] = u[i] + float32(scale*float32(c[i]-u[i]))
	}
}
