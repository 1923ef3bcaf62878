package engine

import (
	"context"
	"slices"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// block returns in which window the step after `done` steps is, where windows are made one after
// the other, and how many of its steps are done. After the last step that is the last window.
func (r *run) block(done int) (window, steps int) {
	per := r.Plan.Spec.Steps
	if last := len(r.layout.Windows(0)) - 1; done >= per*(last+1) {
		return last, per
	}
	return done / per, done % per
}

// extend makes windows one after the other: each begins with the last latents of the one before,
// whose tokens are given at timestep 0 and stay as they are (the rule of Wan 2.2's TI2V). It
// returns the values of the held tokens.
func (r *run) extend(ctx context.Context) ([]float32, error) {
	x := make([]float32, r.held.Values())
	sched, err := r.scheduler()
	if err != nil {
		return nil, err
	}
	if err := r.given(ctx, x); err != nil {
		return nil, err
	}
	done, err := r.resume(ctx, x, func(done int, state [][]float32) error {
		w, steps := r.block(done)
		if steps == 0 || steps == r.Plan.Spec.Steps {
			return nil // between two windows
		}
		return sched.Restore(steps, r.layout.Own(0, r.Rank, w).Len()*r.e.dit.TokenWidth(), state)
	})
	if err != nil {
		return nil, err
	}
	r.report(job.StageDenoise, done, r.Plan.Spec.TotalSteps(), r.foreseen(done))
	gen := r.generator(ctx)
	from, steps := r.block(done)
	for w := range r.layout.Windows(0) {
		noise := r.blockNoise(gen, w)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case w < from:
			continue
		case w > from:
			if sched, err = r.scheduler(); err != nil {
				return nil, err
			}
			steps = 0
		}
		if steps == 0 {
			r.begin(x, w, noise)
		}
		if err := r.window(ctx, x, w, sched, steps); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// generator is where the noise of windows comes from, one after the other. It has passed over those
// that would have been made before, so that a clip made in several goes equals one made in one.
func (r *run) generator(ctx context.Context) *diffusion.Generator {
	gen, g := r.seeded(ctx), r.grid
	for _, w := range r.layout.Passed() {
		gen.Stream(r.e.folder.Transformer.InChannels*w.Len()*g.PT*g.H*g.W, nil)
	}
	return gen
}

// blockNoise draws a window's noise, as far as this rank computes it.
func (r *run) blockNoise(gen *diffusion.Generator, w int) []float32 {
	frames := r.layout.Windows(0)[w]
	grid := r.grid
	grid.T = frames.Len() * grid.PT
	own := r.layout.Own(0, r.Rank, w).Plus(-frames.Lo * r.layout.PerFrame)
	return diffusion.WindowNoise(gen, r.e.folder.Transformer.InChannels, grid, 0, 0).Tokens(own)
}

// known returns how many of the own tokens of a window are there before it is made.
func (r *run) known(w int) int {
	frames := r.layout.Windows(0)[w]
	known := partition.Range{Lo: frames.Lo, Hi: frames.Lo + r.layout.Known(w)}
	return r.layout.Own(0, r.Rank, w).Cut(r.layout.TokensOf(known)).Len()
}

// begin puts noise where a window is not known yet.
func (r *run) begin(x []float32, w int, noise []float32) {
	at := r.held.Place(r.layout.Own(0, r.Rank, w))
	n := r.known(w) * r.e.dit.TokenWidth()
	copy(x[at.Lo+n:at.Hi], noise[n:])
}

// window makes one window, from so many of its steps on, and shares it.
func (r *run) window(ctx context.Context, x []float32, w int, sched diffusion.Scheduler,
	from int) error {
	if err := r.use(r.layout.Windows(0)[w]); err != nil {
		return err
	}
	own := r.layout.Own(0, r.Rank, w)
	at, known := r.held.Place(own), r.known(w)
	before := w * r.Plan.Spec.Steps
	index := make([]int32, own.Len())
	for i := range known {
		index[i] = 1
	}
	d := r.denoiser(sched)
	d.Window = w
	d.Given = slices.Clone(x[at.Lo : at.Lo+known*r.e.dit.TokenWidth()])
	d.Velocity = func(ctx context.Context, p diffusion.Pass, x, v []float32) error {
		p.Step, p.Window = before+p.Step, 0 // messages are told apart by their steps
		ts := wan.Timesteps{Values: []float32{p.Timestep, 0}, Index: index}
		return r.pass(ctx, p, r.layout.Windows(0)[w], x, v, ts)
	}
	if exchange := d.Exchange; exchange != nil {
		d.Exchange = func(ctx context.Context, p diffusion.Pass, own []float32) ([]float32, error) {
			p.Step, p.Window = before+p.Step, 0
			return exchange(ctx, p, own)
		}
	}
	d.OnStep = r.boundary(ctx, before, func() state { return r.partly(x, w, sched) })
	if err := d.Run(ctx, x[at.Lo:at.Hi], from); err != nil {
		return err
	}
	return r.hand(ctx, w, x)
}

// partly is the state of a clip whose window w is being made: the latent of the whole clip, and as
// long as the window is not done what the scheduler keeps of it.
func (r *run) partly(x []float32, w int, sched diffusion.Scheduler) state {
	latent := r.saver.clone(0, x)
	window := r.layout.TokensOf(r.layout.Windows(0)[w])
	st := state{covers: []partition.Range{{Hi: r.layout.Tokens()}}, slabs: r.latents(latent)}
	st.slabs[0].ranges = r.layout.KeptDuring(w)
	if sched.Done() == r.Plan.Spec.Steps {
		return st
	}
	ranges := make([][]partition.Range, r.layout.Mesh.Size())
	for rank := range ranges {
		if _, cfg, _ := r.layout.Place(rank); cfg == 0 {
			ranges[rank] = []partition.Range{r.layout.Own(0, rank, w)}
		}
	}
	for i, v := range sched.State() {
		own, first := r.saver.clone(1+i, v), r.layout.Own(0, r.Rank, w).Lo
		st.covers = append(st.covers, window)
		st.slabs = append(st.slabs, slab{ranges, func(t partition.Range) []float32 {
			width := r.e.dit.TokenWidth()
			return own[(t.Lo-first)*width : (t.Hi-first)*width]
		}})
	}
	return st
}
