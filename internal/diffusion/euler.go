package diffusion

// euler is diffusers' FlowMatchEulerDiscreteScheduler: one step of Euler's method along the
// velocity, from each noise level σ to the next.
type euler struct {
	progress
	timesteps []float32 // [steps], σ times the training timesteps
	sigmas    []float32 // [steps + 1], the last one 0
}

// newEuler computes the noise levels as the constructor and set_timesteps of the class do together,
// in float64 where they use numpy and in float32 where they use torch.
func newEuler(steps int, shift float64, cfg SchedulerConfig) *euler {
	train := float64(cfg.TrainTimesteps)

	// The constructor's shift, then that of set_timesteps: the reference applies both.
	lowest, highest := shiftedEnds(float32(shift), float32(shift-1), float32(train))

	// Evenly spaced timesteps, then noise levels, then the shift.
	levels := linspace(float64(highest)*train, float64(lowest)*train, steps)
	for i := range levels {
		levels[i] /= train
	}
	shifted(levels, shift)

	e := &euler{timesteps: make([]float32, steps), sigmas: make([]float32, steps+1)}
	for i, s := range levels {
		e.sigmas[i] = float32(s)
		e.timesteps[i] = e.sigmas[i] * float32(train)
	}
	return e
}

// shiftedEnds returns the lowest and the highest noise level of training, already shifted once: the
// constructor shifts in float32, and set_timesteps shifts the levels between them again. less is
// shift - 1, which the caller has rounded.
func shiftedEnds(shift, less, train float32) (lowest, highest float32) {
	f := func(s float32) float32 { return float32(shift*s) / (1 + float32(less*s)) }
	return f(1 / train), f(1)
}

// Timesteps implements Scheduler.
func (e *euler) Timesteps() []float32 { return e.timesteps }

// Skip implements Late.
func (e *euler) Skip(n int) error {
	if err := e.skippable(n, len(e.timesteps)); err != nil {
		return err
	}
	e.timesteps, e.sigmas = e.timesteps[n:], e.sigmas[n:]
	return nil
}

// Level implements Late.
func (e *euler) Level() float32 { return e.sigmas[0] }

// Step implements Scheduler: x += (σ' - σ)·v.
func (e *euler) Step(i int, x, v []float32) error {
	if err := e.check(i, len(e.timesteps), x, v); err != nil {
		return err
	}
	dt := e.sigmas[i+1] - e.sigmas[i]
	for k := range x {
		x[k] += float32(dt * v[k])
	}
	return nil
}

// State implements Scheduler: a step depends on x alone, so there is none.
func (e *euler) State() [][]float32 { return nil }

// Restore implements Scheduler.
func (e *euler) Restore(done, n int, state [][]float32) error {
	return e.restore(done, len(e.timesteps), n, state, 0)
}
