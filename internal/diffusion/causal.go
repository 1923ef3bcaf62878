package diffusion

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// Level is a step of a few-step schedule.
type Level struct {
	Timestep float32 // what the model is told, 0 to 1000
	Sigma    float32 // the noise in the latent, 0 to 1
}

// causalTable is how many noise levels the training of causal models divides [0, 1] into.
const causalTable = 1000

// CausalLevels returns the steps of a list of timesteps, from 1 to 1000, in a table of noise levels
// that a flow shift has moved; each operation is rounded to float32, as the public code does
// (FlowMatchScheduler of Self-Forcing). With warp a timestep is a place in the table before the
// shift, so that 750 becomes 937.5 at a shift of 5; else it is what the model is told, and its
// noise level is the nearest in the table.
func CausalLevels(timesteps []float64, shift float64, warp bool) ([]Level, error) {
	if !(shift > 0 && shift <= shiftLimit) || len(timesteps) == 0 || len(timesteps) > stepsLimit {
		return nil, fmt.Errorf("cannot make a schedule of %d timesteps with flow shift %v; allowed: "+
			"1 to %d, above 0 up to %v", len(timesteps), shift, stepsLimit, shiftLimit)
	}

	table := causalSigmas(float32(shift), float32(shift-1))

	var out []Level
	for _, t := range timesteps {
		if !(t >= 1 && t <= causalTable) || warp && t != math.Trunc(t) {
			return nil, fmt.Errorf("timestep %v; allowed: 1 to %d, whole numbers to be warped", t,
				causalTable)
		}
		if warp {
			s := table[causalTable-int(t)]
			out = append(out, Level{s * causalTable, s})
			continue
		}
		out = append(out, Level{float32(t), nearestLevel(table, float32(t))})
	}
	return out, nil
}

// causalSigmas returns the noise levels 1, 0.999 and so on, as torch.linspace makes them, then
// shifted; less is shift - 1. The sum is rounded once, with its product: float64 holds both.
func causalSigmas(shift, less float32) []float32 {
	const step = float32(1) / causalTable
	table := make([]float32, causalTable)
	for i := range table {
		s := float32(1 - float64(step)*float64(i))
		if i >= (causalTable+1)/2 {
			s = float32(step * float32(causalTable-i)) // from the other end, 0
		}
		table[i] = float32(shift*s) / (1 + float32(less*s))
	}
	return table
}

// nearestLevel returns the noise level whose timestep is nearest to t; of two, the first.
func nearestLevel(table []float32, t float32) float32 {
	distance := func(s float32) float32 {
		return float32(math.Abs(float64(float32(s*causalTable) - t)))
	}
	return slices.MinFunc(table, func(a, b float32) int {
		switch da, db := distance(a), distance(b); {
		case da < db:
			return -1
		case da > db:
			return 1
		}
		return 0
	})
}

// Causal makes a clip block by block (Self-Forcing, Huang et al. 2025). A block is denoised in a
// few steps: what the model predicts as the clean block is given the noise of the next step, until
// the last step's prediction is the block. A pass over it at timestep 0 then leaves what later
// blocks see of it. There is no guidance, and no state between steps but the latent.
//
// The steps of the clip are passes: of each block those of the levels and the one at timestep 0,
// which the last block does not need. Like a Denoiser it runs one rank's part, on the rank's
// own tokens; all ranks run theirs together. It belongs to one goroutine.
type Causal struct {
	Layout partition.Layout
	Rank   int
	Levels []Level
	Noise  *CausalNoise
	// Velocity is called with the number of the block as the pass's window.
	Velocity Velocity
	// Context is called with every block but the last once it is made: its pass at timestep 0 leaves
	// the block's keys and values.
	Context func(ctx context.Context, step, block int, x []float32) error
	// Made returns the own tokens of a block that an earlier attempt has made.
	Made func(ctx context.Context, block int) ([]float32, error)
	// OnBlock is called when a block is made, before the step that made it ends.
	OnBlock func(ctx context.Context, block int, x []float32) error
	// OnStep is called after each step with the number of steps done, and how long it took.
	OnStep func(done int, d time.Duration) error
}

// Run makes the blocks from number `from` on. Earlier blocks only get their passes at timestep 0,
// in order: the keys and values that a block leaves depend on those before it, so nothing less
// gives the same bits. Errors are those of the functions that it was given; a value that is not
// finite is a *tensor.NotFiniteError; if ctx ends, the error is its cause.
func (c *Causal) Run(ctx context.Context, from int) error {
	blocks := c.Layout.Count()
	for b := range blocks {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x, err := c.block(ctx, b, from)
		if err != nil || b == blocks-1 {
			return err
		}

		// No block comes after the last one and could see it.
		start, step := time.Now(), (b+1)*(len(c.Levels)+1)-1
		if err := c.Context(ctx, step, b, x); err != nil {
			return fmt.Errorf("cannot keep block %d of %d: %w", b+1, blocks, err)
		}

		if b < from {
			continue
		}
		if err := c.OnStep(step+1, time.Since(start)); err != nil {
			return err
		}
	}
	return nil
}

// block returns the own tokens of a block, made or found.
func (c *Causal) block(ctx context.Context, b, from int) ([]float32, error) {
	if b < from {
		c.Noise.Pass()
		return c.Made(ctx, b)
	}

	own := c.Layout.Own(0, c.Rank, b).Plus(-b * c.Layout.WindowTokens())
	x, added := c.Noise.Block(own)
	v := make([]float32, len(x))

	for i, level := range c.Levels {
		start, step := time.Now(), b*(len(c.Levels)+1)+i
		p := Pass{Step: step, Window: b, Timestep: level.Timestep}
		if err := c.predict(ctx, p, level, x, v); err != nil {
			return nil, fmt.Errorf("cannot compute step %d of block %d: %w", i+1, b+1, err)
		}
		if i+1 < len(c.Levels) {
			addNoise(x, added[i], c.Levels[i+1].Sigma)
		}

		took := time.Since(start)
		if i+1 == len(c.Levels) {
			if err := c.OnBlock(ctx, b, x); err != nil {
				return nil, err
			}
		}
		if err := c.OnStep(step+1, took); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// predict turns x into the clean block that the model predicts: x - σ·v, in float64 as in the
// public code.
func (c *Causal) predict(ctx context.Context, p Pass, l Level, x, v []float32) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := c.Velocity(ctx, p, x, v); err != nil {
		return err
	}
	for i := range x {
		x[i] = float32(float64(x[i]) - float64(float64(l.Sigma)*float64(v[i])))
	}
	return tensor.CheckFinite("the latent", x)
}

// addNoise replaces a clean x by (1-σ)·x + σ·noise, each operation rounded to float32.
func addNoise(x, noise []float32, sigma float32) {
	for i := range x {
		x[i] = float32((1-sigma)*x[i]) + float32(sigma*noise[i])
	}
}
