package diffusion

import (
	"fmt"
	"math"
)

// The kinds of schedulers, as requests name them.
const (
	KindUniPC = "unipc"
	KindEuler = "euler"
)

// Limits of what a scheduler is made for.
const (
	stepsLimit = 1000  // denoising steps
	shiftLimit = 100.0 // flow shift
)

// Scheduler takes a latent from noise to the end, one velocity at a time. It works element by
// element: x may be any part of the latent, but the same one at every step. It belongs to one
// goroutine.
type Scheduler interface {
	// Timesteps returns what the model is told at each step, in 0..TrainTimesteps, falling.
	Timesteps() []float32
	// Step applies step i to x in place, given the model's velocity v at x; v is not changed. Steps
	// are applied in order from 0; any other order, or another size, is an error that leaves x as
	// it was.
	Step(i int, x, v []float32) error
	// Done returns how many steps were applied.
	Done() int
	// State returns what the steps so far have left besides x, for a checkpoint: slices of x's
	// size, valid until the next Step. With it and x, another Scheduler continues with the same
	// bits.
	State() [][]float32
	// Restore continues after `done` steps on a latent of n values, given their State. It is called
	// once, before any Step. State of another shape is an error.
	Restore(done, n int, state [][]float32) error
}

// Late is a Scheduler that can begin later than with pure noise: with a latent to which so much
// noise was added as its first step expects (SDEdit, Meng et al. 2022).
type Late interface {
	Scheduler
	// Skip drops the first n steps of a fresh scheduler; what was step n becomes step 0. Anything
	// but 0 to one step less than there are is an error.
	Skip(n int) error
	// Level returns the noise level σ, 0 to 1, of the latent that step 0 begins with.
	Level() float32
}

// AddNoise replaces the noise x by the latent z with that much noise, σ·noise + (1-σ)·z, as
// add_noise and scale_noise of the classes do.
func AddNoise(x, z []float32, level float32) {
	for i := range x {
		x[i] = float32(level*x[i]) + float32((1-level)*z[i])
	}
}

// skippable returns an error unless n of so many steps of a fresh scheduler can be skipped.
func (p *progress) skippable(n, steps int) error {
	if n < 0 || n >= steps || p.done > 0 {
		return fmt.Errorf("cannot skip %d of %d steps after %d; allowed: 0 to %d, before the first", n,
			steps, p.done, steps-1)
	}
	return nil
}

// NewScheduler returns the scheduler of a kind, for so many steps and with that flow shift. If cfg
// is of the same kind its other settings apply, else the defaults of the other class, over cfg's
// training timesteps. Values out of bounds are errors that say what is allowed.
func NewScheduler(kind string, steps int, shift float64, cfg SchedulerConfig) (Scheduler, error) {
	if steps < 1 || steps > stepsLimit {
		return nil, fmt.Errorf("cannot make a scheduler of %d steps; allowed: 1 to %d",
			steps, stepsLimit)
	}

	if !(shift > 0 && shift <= shiftLimit) {
		return nil, fmt.Errorf("cannot make a scheduler with flow shift %v; allowed: above 0, "+
			"up to %v", shift, shiftLimit)
	}

	if kind != KindUniPC && kind != KindEuler {
		return nil, fmt.Errorf("cannot make a scheduler of kind %q; allowed: %s, %s",
			kind, KindUniPC, KindEuler)
	}

	// A request may ask for the other kind: then the folder's settings mean nothing.
	if kind != cfg.Kind() {
		cfg = cfg.as(kind)
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("cannot make a scheduler: %w", err)
	}

	if kind == KindUniPC {
		return newUniPC(steps, shift, cfg)
	}
	return newEuler(steps, shift, cfg), nil
}

// progress counts the steps applied, for both schedulers, and refuses one out of order or of
// another size.
type progress struct{ done, size int }

// Done implements Scheduler.
func (p *progress) Done() int { return p.done }

// check counts step i of steps, or refuses it unless it is the next and has the size of those
// before.
func (p *progress) check(i, steps int, x, v []float32) error {
	switch {
	case i != p.done:
		return fmt.Errorf("step %d is out of order, step %d is next", i, p.done)
	case i >= steps:
		return fmt.Errorf("step %d is past the last of %d", i, steps)
	case len(x) != len(v):
		return fmt.Errorf("a velocity of %d values for a latent of %d", len(v), len(x))
	case i > 0 && len(x) != p.size:
		return fmt.Errorf("a latent of %d values, %d at the steps before", len(x), p.size)
	}
	p.done, p.size = i+1, len(x)
	return nil
}

// restore checks what Restore is given, of which `want` slices are state, and counts the steps.
func (p *progress) restore(done, steps, n int, state [][]float32, want int) error {
	if p.done > 0 || done < 0 || done > steps || len(state) != want {
		return fmt.Errorf("cannot restore step %d of %d with %d slices, %d wanted", done, steps,
			len(state), want)
	}
	for _, s := range state {
		if len(s) != n {
			return fmt.Errorf("cannot restore %d values for a latent of %d", len(s), n)
		}
	}
	p.done, p.size = done, n
	return nil
}

// linspace returns n values from first to last in float64, with the roundings of numpy.linspace.
func linspace(first, last float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		switch {
		case i == 0:
			out[i] = first
		case i == n-1:
			out[i] = last
		default:
			out[i] = float64(float64(i)*((last-first)/float64(n-1))) + first
		}
	}
	return out
}

// shifted applies a flow shift s to noise levels in place: σ' = s·σ / (1 + (s-1)·σ), the time shift
// of Esser et al. 2024 (Stable Diffusion 3).
func shifted(sigmas []float64, shift float64) {
	for i, s := range sigmas {
		sigmas[i] = float64(shift*s) / (1 + float64((shift-1)*s))
	}
}

// log32 is the natural logarithm, rounded to float32.
func log32(x float32) float32 { return float32(math.Log(float64(x))) }

// expm132 is e^x - 1, rounded to float32.
func expm132(x float32) float32 { return float32(math.Expm1(float64(x))) }
