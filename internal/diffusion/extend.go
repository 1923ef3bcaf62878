package diffusion

import (
	"context"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// Extender makes the windows of a long clip one after the other: each begins with the last latent
// frames of the one before, whose tokens are given at timestep 0 and stay as they are, as Wan 2.2's
// TI2V (WanImageToVideoPipeline with expand_timesteps) treats its first frame. Each window is a
// denoising loop of its own, with a fresh scheduler.
//
// Like a Denoiser it runs one rank's part, on the tokens that the rank holds; all ranks run theirs
// together. Its fields are set before Run and belong to Run's goroutine.
type Extender struct {
	Layout   partition.Layout
	Rank     int
	Held     *Windows       // what of the clip the rank holds
	Grid     partition.Grid // of the clip's latent
	Channels int            // of the latent
	Steps    int            // of each window
	// Noise is where the windows' noise comes from, one window after the other.
	Noise *Generator
	// NewScheduler returns a scheduler that has applied no step.
	NewScheduler func() (Scheduler, error)
	// Denoiser returns what denoises window w: velocities, guidance and what happens after a step.
	// Its first `known` own tokens are given. Run sets Scheduler, Window and Given itself.
	Denoiser func(w, known int, x []float32, s Scheduler) (*Denoiser, error)
	// Swap gives the values of a finished window to the ranks that begin the next one with them, and
	// puts what this rank needs of it into x.
	Swap func(ctx context.Context, w int, x []float32) error

	scheduler Scheduler // of the window that Restore went on with; nil: a fresh one
}

// Position returns in which window the step after `done` steps of the clip is, and how many of that
// window's steps are done. After the last step that is the end of the last window.
func (e *Extender) Position(done int) (window, steps int) {
	if last := len(e.Layout.Windows(0)) - 1; done >= e.Steps*(last+1) {
		return last, e.Steps
	}
	return done / e.Steps, done % e.Steps
}

// Restore takes over the state that the scheduler of a checkpoint's window has left after `done`
// steps of the clip: tensors over the tokens of that window that this rank computes. Between two
// windows no scheduler keeps anything.
func (e *Extender) Restore(done int, state [][]float32) (err error) {
	w, steps := e.Position(done)
	if steps == 0 || steps == e.Steps {
		return nil
	}
	if e.scheduler, err = e.NewScheduler(); err != nil {
		return err
	}
	at := e.place(w)
	return e.scheduler.Restore(steps, at.Len(), state)
}

// Run makes the windows in x, the values of the held tokens, from `done` steps of the clip on. x
// has the given tokens of the first window, and after a checkpoint what that has. Errors are those
// of the Denoiser and of the functions that it was given; when ctx ends, its cause.
func (e *Extender) Run(ctx context.Context, x []float32, done int) error {
	// The noise of windows that an earlier clip has made is passed over, so that a clip made in
	// several goes equals one made in one.
	for _, w := range e.Layout.Passed() {
		e.Noise.Stream(e.Channels*w.Len()*e.Grid.PT*e.Grid.H*e.Grid.W, nil)
	}

	from, steps := e.Position(done)
	for w := range e.Layout.Windows(0) {
		noise := e.noise(w) // drawn of every window, so that it does not depend on where Run begins
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w < from {
			continue
		}
		if w > from {
			steps, e.scheduler = 0, nil
		}
		if err := e.window(ctx, w, steps, x, noise); err != nil {
			return err
		}
	}
	return nil
}

// window makes one window, from so many of its steps on, and swaps it. Where all steps are done
// only the swap is left.
func (e *Extender) window(ctx context.Context, w, steps int, x, noise []float32) (err error) {
	at, known := e.place(w), e.known(w)
	given := known * e.Held.width
	if steps == 0 {
		copy(x[at.Lo+given:at.Hi], noise[given:])
	}

	sched := e.scheduler
	if sched == nil {
		if sched, err = e.NewScheduler(); err != nil {
			return err
		}
	}
	d, err := e.Denoiser(w, known, x, sched)
	if err != nil {
		return err
	}
	d.Scheduler, d.Window, d.Given = sched, w, slices.Clone(x[at.Lo:at.Lo+given])
	if err := d.Run(ctx, x[at.Lo:at.Hi], steps); err != nil {
		return err
	}
	return e.Swap(ctx, w, x)
}

// place returns where the rank's own tokens of a window lie among the values that it holds.
func (e *Extender) place(w int) partition.Range {
	return e.Held.Place(e.Layout.Own(0, e.Rank, w))
}

// known returns how many of the rank's own tokens of a window are there before it is made: the
// first ones.
func (e *Extender) known(w int) int {
	frames := e.Layout.Windows(0)[w]
	known := partition.Range{Lo: frames.Lo, Hi: frames.Lo + e.Layout.Known(w)}
	return e.Layout.Own(0, e.Rank, w).Cut(e.Layout.TokensOf(known)).Len()
}

// noise draws a window's noise and returns that of the rank's own tokens, [own, token width].
func (e *Extender) noise(w int) []float32 {
	frames, grid := e.Layout.Windows(0)[w], e.Grid
	grid.T = frames.Len() * grid.PT
	own := e.Layout.Own(0, e.Rank, w).Plus(-frames.Lo * e.Layout.PerFrame)
	return WindowNoise(e.Noise, e.Channels, grid, 0, 0).Tokens(own)
}
