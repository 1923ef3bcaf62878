package engine

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// blocks is a causal clip that is being made, as diffusion.Causal makes it. A rank holds its own
// tokens of the block under way, and the device the keys and values that blocks attend to. What is
// made is in files of rank 0, so that memory does not grow with the clip.
//
// A checkpoint has the latents of all blocks so far, and not their keys and values, which are some
// thousand times as large. The next attempt computes them again, by one pass over each block in the
// order in which they were made: a fifth of the work that was done, in four steps a block, and the
// same bits, whatever the mesh.
type blocks struct {
	r        *run
	begun    int               // the block that the sequence is at, -1 before the first
	steps    bool              // whether the first step that is not made again has begun
	scratch  []float32         // the velocity of a pass that only leaves keys and values
	resumed  *safetensors.File // what the attempt goes on from; nil: nothing
	files    []*os.File        // to be removed at the end
	tokens   *os.File          // on rank 0: blocks in the order of tokens, as checkpoints have them
	writer   *latents.Writer   // on rank 0: writes latents
	latents  *os.File          // on rank 0: the clip's latent, as results have it
	streamer *streamer         // on rank 0: decodes blocks as they are made; nil: none does
}

// causal reports whether the clip is made block by block.
func (r *run) causal() bool { return r.Plan.Spec.Causal != nil }

// reach is what a block attends to.
func (r *run) reach() wan.Reach {
	c := r.Plan.Spec.Causal
	return wan.Reach{Blocks: c.Window / c.Block, Sink: c.Sink / c.Block}
}

// levels are the steps of each block.
func (r *run) levels() ([]diffusion.Level, error) {
	s := r.Plan.Spec
	return diffusion.CausalLevels(s.Causal.Timesteps, s.FlowShift, s.Causal.Warp)
}

// blockEnds reports whether a block is made after so many steps of a causal clip.
func (r *run) blockEnds(done int) bool { return (done+1)%(r.Plan.Spec.Steps+1) == 0 }

// denoiseBlocks makes a causal clip. Nothing of it is returned: rank 0 has it in its files.
func (r *run) denoiseBlocks(ctx context.Context) ([]float32, error) {
	b, s := &blocks{r: r, begun: -1}, r.Plan.Spec
	r.blocks = b
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	from, err := b.resume(ctx)
	if err != nil {
		return nil, err
	}

	// What the rank computes, with the functions that keep it.
	levels, err := r.levels()
	if err != nil {
		return nil, err
	}
	d := diffusion.Causal{Layout: r.layout, Rank: r.Rank, Levels: levels,
		Noise: diffusion.NewCausalNoise(r.generator(ctx), r.e.folder.Transformer.OutChannels,
			r.windowGrid(r.layout.Windows(0)[0]), s.Blocks, len(levels)-1),
		Velocity: b.velocity, Context: b.context, Made: b.made, OnBlock: b.keep, OnStep: b.afterStep(ctx)}

	r.doneBefore = r.Plan.Resume.Step
	r.report(job.StageDenoise, r.doneBefore, s.TotalSteps(), r.forecast(r.doneBefore))
	return nil, d.Run(ctx, from)
}

// open prepares what rank 0 keeps of the clip.
func (b *blocks) open(ctx context.Context) (err error) {
	r := b.r
	if r.Rank != 0 {
		return nil
	}
	if b.tokens, err = b.file("blocks-*"); err != nil {
		return err
	}
	if b.latents, err = b.file("latents-*"); err != nil {
		return err
	}

	channels := r.e.folder.Transformer.OutChannels
	if b.writer, err = latents.NewWriter(b.latents, channels, r.grid, nil); err != nil {
		return err
	}
	b.streamer, err = r.newStreamer(ctx)
	return err
}

// file creates a temporary file that close removes.
func (b *blocks) file(pattern string) (*os.File, error) {
	f, err := b.r.tempFile(pattern)
	if err == nil {
		b.files = append(b.files, f)
	}
	return f, err
}

// resume opens the plan's checkpoint and returns how many blocks it has. One that cannot be used is
// a *DamagedError.
func (b *blocks) resume(ctx context.Context) (int, error) {
	r, c := b.r, b.r.Plan.Resume
	if c.Step == 0 {
		return 0, nil
	}
	f, err := b.file("checkpoint-*")
	if err != nil {
		return 0, err
	}
	if err := r.fetchCheckpoint(ctx, f, c.Object); err != nil {
		return 0, err
	}

	if !r.blockEnds(c.Step) {
		return 0, &DamagedError{fmt.Errorf("it is of step %d, within a block", c.Step)}
	}
	if b.resumed, err = safetensors.Open(f.Name()); err != nil {
		return 0, &DamagedError{err}
	}

	// All of it is read later on, block by block; its size is known to fit from here on.
	n := (c.Step + 1) / (r.Plan.Spec.Steps + 1)
	if err := r.readRows(b.resumed, 0, n*r.layout.WindowTokens(), nil, nil); err != nil {
		return 0, &DamagedError{err}
	}
	return n, nil
}

// begin makes the sequence ready for passes over a block.
func (b *blocks) begin(block int) {
	if b.begun != block {
		b.r.seq.Begin(block)
		b.begun = block
	}
}

// velocity is the diffusion.Velocity of blocks.
func (b *blocks) velocity(ctx context.Context, p diffusion.Pass, x, v []float32) error {
	if !b.steps {
		b.steps, b.r.bytesBeforeSteps = true, b.r.bytesSent()
	}
	return b.pass(ctx, p, x, v)
}

// pass runs the transformer over a block.
func (b *blocks) pass(ctx context.Context, p diffusion.Pass, x, v []float32) error {
	b.begin(p.Window)
	window := b.r.layout.Windows(0)[p.Window]
	p.Window = 0 // messages are told apart by the clip's steps
	err := b.r.forward(ctx, p, window, x, v, wan.Timesteps{Values: []float32{p.Timestep}})
	if p.Step < b.r.doneBefore {
		b.r.inStep.passes, b.r.meter.waited = 0, 0 // of no step of this attempt
	}
	return err
}

// context runs the pass at timestep 0 that leaves a block's keys and values.
func (b *blocks) context(ctx context.Context, step, block int, x []float32) error {
	if len(b.scratch) < len(x) {
		b.scratch = make([]float32, len(x))
	}
	return b.pass(ctx, diffusion.Pass{Step: step, Window: block}, x, b.scratch[:len(x)])
}

// made returns the own tokens of a block from the checkpoint, and keeps the block on rank 0.
func (b *blocks) made(ctx context.Context, block int) ([]float32, error) {
	r := b.r
	tokens := r.layout.TokensOf(r.layout.Windows(0)[block])
	shape, err := b.resumed.Tensor("0")
	if err != nil {
		return nil, err
	}
	read := func(t partition.Range) ([]float32, error) {
		v := make([]float32, t.Len()*r.e.form.TokenWidth())
		return v, r.readRows(b.resumed, 0, shape.Shape[0], []partition.Range{t}, v)
	}

	if r.Rank == 0 {
		all, err := read(tokens)
		if err == nil {
			err = b.store(ctx, block, all)
		}
		if err != nil {
			return nil, err
		}
	}
	return read(r.layout.Own(0, r.Rank, block))
}

// keep brings a block that is made to rank 0, which stores it, begins a checkpoint and decodes.
func (b *blocks) keep(ctx context.Context, block int, x []float32) error {
	r, since := b.r, time.Now()
	tag := collective.Tag{Step: uint32(block), Op: opBlock} //nolint:gosec // few
	if r.Rank != 0 {
		r.bytesGathered.Add(uint64(4 * len(x))) //nolint:gosec // from 0
		return r.Transport.Send(ctx, 0, tag, tensor.Bytes(x))
	}

	// The ranks' tokens follow each other.
	all := append([]float32(nil), x...)
	for peer, t := range r.layout.Split(r.layout.Windows(0)[block]) {
		if peer == 0 {
			continue
		}
		v, err := r.recvFloats(ctx, r.Transport, peer, tag, t.Len()*r.e.form.TokenWidth())
		if err != nil {
			return err
		}
		all = append(all, v...)
	}

	if err := b.store(ctx, block, all); err != nil {
		return err
	}
	r.checkpoints.saveBlocks((block+1)*(r.Plan.Spec.Steps+1)-1, since, b.tokens)
	return nil
}

// store writes a block's tokens [tokens, width] to rank 0's files, and decodes it.
func (b *blocks) store(ctx context.Context, block int, all []float32) error {
	if _, err := b.tokens.WriteAt(tensor.Bytes(all), int64(block)*int64(4*len(all))); err != nil {
		return fmt.Errorf("cannot keep a block: %w", err)
	}

	r := b.r
	frames := r.layout.Windows(0)[block]
	b.writer.Put(r.layout.TokensOf(frames), all)
	if err := b.writer.Flush(); err != nil {
		return err
	}

	if b.streamer == nil {
		return nil
	}
	g := r.windowGrid(frames)
	latent := make([]float32, len(all)) // [C, frames, H, W]
	diffusion.Scatter(latent, all, r.e.folder.Transformer.OutChannels, g,
		partition.Range{Hi: g.Tokens()})
	return b.streamer.feed(ctx, frames.Lo*g.PT, g.T, latent)
}

// afterStep returns what is called after each step: it reports the step, and at the end of a block
// may end the attempt.
func (b *blocks) afterStep(ctx context.Context) func(done int, took time.Duration) error {
	return func(done int, took time.Duration) error {
		if h, ok := b.r.host.(Pacer); ok {
			h.AfterStep(ctx, done)
		}
		return b.r.endStep(done, took)
	}
}

// close removes the rank's files. It may be called on nil.
func (b *blocks) close() {
	if b == nil {
		return
	}
	if b.streamer != nil {
		b.streamer.close()
	}
	if b.resumed != nil {
		b.resumed.Close()
	}
	for _, f := range b.files {
		f.Close()
		os.Remove(f.Name())
	}
}
