package diffusion

import "fmt"

// KindDMD is the loop of models that were distilled by distribution matching (DMD2, Yin et al.
// 2024): each step predicts the clean latent, and adds fresh noise of the next level to it.
const KindDMD = "dmd"

// Levels are the noise levels of a schedule that is given step by step, as distilled models are
// trained for a few of them.
type Levels struct {
	Sigmas    []float32 // falling, in 0..1; the end is 0 and not among them
	Timesteps []float32 // what the model is told at each
}

// NewLevels returns the scheduler of given noise levels: of Euler's method, or of DMD, for which
// noise returns the fresh noise after a step, of x's size. It takes no shift: levels are used as
// they are.
func NewLevels(kind string, l Levels, noise func(step int) ([]float32, error)) (Scheduler, error) {
	n := len(l.Sigmas)
	if n < 1 || n > stepsLimit || len(l.Timesteps) != n {
		return nil, fmt.Errorf("cannot make a scheduler of %d levels and %d timesteps; allowed: 1 to "+
			"%d, as many", n, len(l.Timesteps), stepsLimit)
	}

	for i, s := range l.Sigmas {
		if !(s > 0 && s <= 1) || i > 0 && s >= l.Sigmas[i-1] {
			return nil, fmt.Errorf("cannot make a scheduler of noise levels %v; allowed: falling, above "+
				"0, up to 1", l.Sigmas)
		}
	}

	e := &euler{timesteps: l.Timesteps, sigmas: append(append([]float32{}, l.Sigmas...), 0)}
	switch kind {
	case KindEuler:
		return e, nil
	case KindDMD:
		return &dmd{e, noise}, nil
	}
	return nil, fmt.Errorf("cannot make a scheduler of kind %q with levels; allowed: %s, %s", kind,
		KindEuler, KindDMD)
}

// dmd is FastVideo's denoising of distilled models.
type dmd struct {
	*euler
	noise func(step int) ([]float32, error)
}

// Step implements Scheduler: x0 = x - σ·v, then x = (1-σ')·x0 + σ'·noise. The last step has no
// noise.
func (d *dmd) Step(i int, x, v []float32) error {
	if err := d.check(i, len(d.timesteps), x, v); err != nil {
		return err
	}

	for k := range x {
		x[k] -= float32(d.sigmas[i] * v[k])
	}
	if i == len(d.timesteps)-1 {
		return nil
	}

	fresh, err := d.noise(i)
	if err != nil {
		return err
	}
	if len(fresh) != len(x) {
		return fmt.Errorf("%d values of noise for a latent of %d", len(fresh), len(x))
	}

	next := d.sigmas[i+1]
	for k := range x {
		x[k] = float32((1-next)*x[k]) + float32(next*fresh[k])
	}
	return nil
}

// Skip refuses: an edit would begin with another noise than the loop.
func (d *dmd) Skip(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("cannot skip %d steps of dmd; allowed: 0", n)
}
