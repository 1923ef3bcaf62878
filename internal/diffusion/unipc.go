package diffusion

import (
	"fmt"
	"math"
	"slices"
)

// orderLimit is the highest solver order; the reference has no higher either.
const orderLimit = 3

// uniPC is diffusers' UniPCMultistepScheduler (UniPC, Zhao et al. 2023) for flow matching. It
// predicts x0 from the velocity, corrects the step before by that prediction (UniC), then predicts
// the next noise level (UniP). All coefficients are computed in float32, in the reference's order
// of operations.
type uniPC struct {
	progress
	cfg       SchedulerConfig
	timesteps []float32 // [steps], whole numbers
	sigmas    []float32 // [steps + 1], the last one 0
	lambdas   []float32 // log(α/σ) of each sigma
	// history holds the last predictions of x0, the newest first; once there are enough, one more
	// than the solver's order, which is the next prediction's memory.
	history [][]float32
	start   []float32 // the latent that the last prediction was made from
	order   int       // of the last prediction
	skipped int       // steps before the first one
}

// newUniPC computes the noise levels as set_timesteps does with use_flow_sigmas. Two equal levels,
// which a large shift over few training timesteps gives, are an error: a step between them divides
// by 0.
func newUniPC(steps int, shift float64, cfg SchedulerConfig) (*uniPC, error) {
	levels := linspace(1, 1/float64(cfg.TrainTimesteps), steps+1)[:steps]
	shifted(levels, shift)

	// At a level of exactly 1 the latent is pure noise, and λ = log(0).
	const margin = 1e-6 // keeps log(1 - σ) finite
	if math.Abs(levels[0]-1) < margin {
		levels[0] -= margin
	}

	u := &uniPC{cfg: cfg, timesteps: make([]float32, steps), sigmas: make([]float32, steps+1),
		lambdas: make([]float32, steps+1)}
	for i, s := range levels {
		u.timesteps[i] = float32(int64(s * float64(cfg.TrainTimesteps)))
		u.sigmas[i] = float32(s)
	}

	// λ has to rise from step to step: the solver divides by its differences.
	for i, s := range u.sigmas {
		u.lambdas[i] = log32(1-s) - log32(s)
		if i > 0 && !(u.lambdas[i] > u.lambdas[i-1]) {
			return nil, fmt.Errorf("cannot make %d UniPC steps with flow shift %v over %d "+
				"training timesteps: steps %d and %d have the same noise level",
				steps, shift, cfg.TrainTimesteps, i, i+1)
		}
	}
	return u, nil
}

// Timesteps implements Scheduler.
func (u *uniPC) Timesteps() []float32 { return u.timesteps }

// Skip implements Late. The corrector is left out after the same steps as before, by their numbers
// in the whole schedule.
func (u *uniPC) Skip(n int) error {
	if err := u.skippable(n, len(u.timesteps)); err != nil {
		return err
	}
	u.timesteps, u.sigmas, u.lambdas = u.timesteps[n:], u.sigmas[n:], u.lambdas[n:]
	u.skipped += n
	return nil
}

// Level implements Late.
func (u *uniPC) Level() float32 { return u.sigmas[0] }

// Step implements Scheduler, as step of the class does.
func (u *uniPC) Step(i int, x, v []float32) error {
	if err := u.check(i, len(u.timesteps), x, v); err != nil {
		return err
	}

	// The velocity points from x0 to noise: x = x0 + σ·v.
	clean := u.oldest(len(x))
	for k := range clean {
		clean[k] = x[k] - float32(u.sigmas[i]*v[k])
	}

	// The corrector looks at the step before with the velocity found at its end.
	if i > 0 && !slices.Contains(u.cfg.DisableCorrector, u.skipped+i-1) {
		u.correct(i, x, clean)
	}

	// Then predict the next level from the corrected latent.
	u.history = slices.Insert(u.history, 0, clean)
	u.order = u.orderAt(i)
	u.start = append(u.start[:0], x...)
	u.predict(i, x)
	return nil
}

// State implements Scheduler: the latest predictions, the newest first, then the latent that the
// last one was made from. There are at most SolverOrder + 1 slices.
func (u *uniPC) State() [][]float32 {
	if u.done == 0 {
		return nil
	}
	return append(slices.Clone(u.history[:u.kept(u.done)]), u.start)
}

// kept returns how many predictions the steps after `done` read.
func (u *uniPC) kept(done int) int { return min(done, u.cfg.SolverOrder) }

// Restore implements Scheduler. It copies the state.
func (u *uniPC) Restore(done, n int, state [][]float32) error {
	want := 0
	if done > 0 {
		want = u.kept(done) + 1
	}

	if err := u.restore(done, len(u.timesteps), n, state, want); err != nil || done == 0 {
		return err
	}

	u.history = u.history[:0]
	for _, s := range state[:want-1] {
		u.history = append(u.history, slices.Clone(s))
	}
	u.start = slices.Clone(state[want-1])
	u.order = u.orderAt(done - 1)
	return nil
}

// orderAt returns the order of the prediction that step i makes: lower while there are few
// predictions to look back at, and at the end, where the class's lower_order_final keeps it stable.
func (u *uniPC) orderAt(i int) int { return min(u.cfg.SolverOrder, len(u.timesteps)-i, i+1) }

// oldest returns memory for a new prediction of n values: that of a prediction that nothing reads
// any more, once there is one. The corrector reads as many earlier ones as the solver's order.
func (u *uniPC) oldest(n int) []float32 {
	if len(u.history) <= u.cfg.SolverOrder {
		return make([]float32, n)
	}
	last := u.history[u.cfg.SolverOrder]
	u.history = u.history[:u.cfg.SolverOrder]
	return last
}

// correct replaces x, which the step before predicted for noise level i, by the corrector's value;
// clean is x0 as the model predicts it there.
func (u *uniPC) correct(i int, x, clean []float32) {
	s := u.solve(i-1, u.order)
	rho := s.corrector()
	last := rho[u.order-1]
	for k := range x {
		m0 := u.history[0][k]
		sum := float32(last * (clean[k] - m0))
		if u.order > 1 {
			sum = s.slopes(rho[:u.order-1], u.history, k) + sum
		}
		x[k] = s.base(u.start[k], m0) - float32(s.scale*sum)
	}
}

// predict replaces x, the latent of noise level i, by the predictor's value for level i+1.
func (u *uniPC) predict(i int, x []float32) {
	s := u.solve(i, u.order)
	rho := s.predictor()
	for k := range x {
		next := s.base(x[k], u.history[0][k])
		if u.order > 1 {
			next -= float32(s.scale * s.slopes(rho, u.history, k))
		}
		x[k] = next
	}
}
