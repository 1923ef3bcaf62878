package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// ErrCancelled is why the context of a rank ends whose job was cancelled.
var ErrCancelled = errors.New("the job was cancelled")

// ErrYielded ends rank 0 at a step boundary whose checkpoint is durable, since others are to go on.
var ErrYielded = errors.New("the attempt stopped at a step boundary, as it was told to")

// Rank is one rank's work on one plan.
type Rank struct {
	Plan      job.Plan
	Rank      int
	Transport collective.Transport
	Objects   artifact.Store
	TempDir   string // for checkpoints, latents and the encoded clip
	Progress  func(job.Progress)
	Yield     func() bool // asked at every step boundary, on rank 0; nil: never
	// SharedCores says that the ranks compute on the same cores: rank 0 then decodes alone.
	SharedCores bool
	// Room is how many bytes the rank may hold where the device has no memory of its own; 0: no limit.
	Room int64
	// Speed is about how many multiplications and additions the device makes in a second; 0: not
	// known.
	Speed float64
	// Alive is called on every rank as parts of a pass through the model are done, from 0 to 1, of
	// which a step has one or more; nil: nothing.
	Alive func(part float64)
	// Pace is told of passes through the model that no other rank shared: their operations, and how
	// long they took; nil: nobody is.
	Pace func(operations float64, took time.Duration)
	// AfterStep is called at every step boundary, on every rank; nil: nothing.
	AfterStep func(ctx context.Context, done int)
	// Saved makes a stored checkpoint durable, on rank 0; nil where none are written. Note is told
	// of what went wrong and ends nothing, such as a checkpoint that could not be written.
	Saved func(context.Context, job.Checkpoint) error
	Note  func(what string, err error)
	// Preview publishes a preview made after some steps, on rank 0; nil: none are made.
	Preview func(ctx context.Context, step int, data []byte) error
	// Salvage has what an earlier attempt on this node has computed of the step it was lost in, and
	// takes what this one computes; nil: neither.
	Salvage *Salvage
	// Kept makes a stored part of the job durable, on the rank that made it; nil: none are kept.
	Kept func(ctx context.Context, name string, o job.Object) error
	// Full reports whether the object store takes no checkpoints and parts at present, or, of the
	// last things, not even what the clip leaves behind; nil: never.
	Full func(last bool) bool
}

// besideTime is how long a rank that is done waits for what it stores beside its work.
const besideTime = time.Second

// Operations within a step. The transformer's messages have the numbers below opOthers, pass by
// pass; those of each other kind have a number of their own, so far apart.
const (
	opOthers = 1 << 31
	opsApart = 1 << 24
)

const (
	opGuidance   = opOthers + iota*opsApart // and the window
	opText                                  // and the branch
	opSeams                                 // and, where they are made one by one, the window
	opCheckpoint                            // and the chunk
	opLatents                               // and the chunk
	opSalvage
	opInventory
	opStats
	opDone
	opRows  // of frames, from the rank that decoded them
	opTaken // the rows of a frame group are with rank 0
	opKept
	opStart // the latent of a picture
)

// op numbers the i-th message of a kind.
func op(kind uint32, i int) uint32 { return kind + uint32(i) } //nolint:gosec // far below opsApart

// run is a Rank at work.
type run struct {
	*Rank
	e       *Engine
	grid    partition.Grid // of the whole clip
	layout  partition.Layout
	held    *diffusion.Windows
	group   *collective.Group // the ranks that share this rank's windows and branch
	seq     *wan.Sequence     // of windows of seqSize frames
	seqSize int
	embeds  [2][][]float32 // of each branch, per scene, [tokens, text_dim]
	texts   [2][]sceneText
	seconds map[job.Stage]float64
	steps   []time.Duration
	within  within
	notices []string
	frames  int    // decoded
	ranks   int    // at work on them; only rank 0 knows
	saver   *saver // nil before the denoising loop
	reused  int    // windows of the first step that an earlier attempt had computed

	gathered  atomic.Uint64 // bytes sent of checkpoints and latents
	before    uint64        // bytes sent before the first step
	stepBytes uint64        // bytes sent in all steps

	beside     sync.WaitGroup // what is stored while the rank computes
	besideCtx  context.Context
	besideStop context.CancelFunc
	closing    chan struct{} // closed when the rank ends
}

// Run computes the rank's part of the clip. Rank 0 stores the latents and the video and returns
// the result; other ranks return an empty one.
//
// When ctx ends, Run returns soon, in the middle of what the devices compute.
func (e *Engine) Run(ctx context.Context, k *Rank) (job.Result, error) {
	defer compute.StopWith(ctx, e.dev.Main)()
	defer compute.StopWith(ctx, e.dev.Decode)()
	r := &run{Rank: k, e: e, seconds: map[job.Stage]float64{}, closing: make(chan struct{})}
	r.besideCtx, r.besideStop = context.WithCancel(ctx)
	defer r.besideStop()
	if err := r.open(); err != nil {
		return job.Result{}, err
	}
	defer r.close()
	if res, ok, err := r.finished(ctx); ok || err != nil {
		return res, err
	}
	if err := r.stage(job.StageText, func() error { return r.encodeTexts(ctx) }); err != nil {
		return job.Result{}, err
	}
	var x []float32
	err := r.stage(job.StageDenoise, func() (err error) {
		x, err = r.denoise(ctx)
		return err
	})
	if err != nil {
		return job.Result{}, err
	}
	if k.Rank != 0 {
		return job.Result{}, r.handIn(ctx, x)
	}
	return r.finish(ctx, x)
}

// stage times f and names the stage in its error.
func (r *run) stage(s job.Stage, f func() error) error {
	start := time.Now()
	err := f()
	r.seconds[s] += time.Since(start).Seconds()
	if err != nil && !errors.Is(err, ErrCancelled) {
		return fmt.Errorf("%s: %w", s, err)
	}
	return err
}

// open lays out the rank's group and memory.
func (r *run) open() error {
	p, s := r.Plan, r.Plan.Spec
	if p.Mesh.Size() != r.Transport.Size() || r.Transport.Size() != len(p.Nodes) {
		return fmt.Errorf("a mesh of %d ranks does not fit %d nodes", p.Mesh.Size(), len(p.Nodes))
	}
	r.grid = LatentGrid(r.e.folder, s)
	r.layout = partition.Layout{Timeline: Timeline(r.grid, s), Mesh: partition.Mesh(p.Mesh),
		Shares: p.Shares}
	r.held = diffusion.NewWindows(r.layout, r.Rank.Rank, r.e.dit.TokenWidth(), r.swapSeams)
	first := r.Rank.Rank / p.Mesh.Ulysses * p.Mesh.Ulysses
	members := make([]int, p.Mesh.Ulysses)
	for i := range members {
		members[i] = first + i
	}
	var err error
	if r.group, err = collective.NewGroup(r.Transport, members); err != nil {
		return err
	}
	if err := r.reserve(); err != nil {
		return err
	}
	return r.use(r.layout.Windows(0)[0])
}

// use makes the sequence one of a window's length.
func (r *run) use(window partition.Range) (err error) {
	if r.seq != nil && r.seqSize == window.Len() {
		return nil
	}
	if r.seq != nil {
		r.seq.Free()
	}
	r.seq, err = r.e.dit.NewSequence(r.windowGrid(window), r.group, r.layout.Split(window),
		r.headRanges())
	r.seqSize = window.Len()
	return err
}

// windowGrid is the latent grid of a window.
func (r *run) windowGrid(window partition.Range) partition.Grid {
	grid := r.grid
	grid.T = window.Len() * grid.PT
	return grid
}

// headRanges are the heads of each rank of a group.
func (r *run) headRanges() []partition.Range {
	return partition.Even(r.e.folder.Transformer.NumAttentionHeads, r.Plan.Mesh.Ulysses)
}

func (r *run) close() {
	close(r.closing)
	// What is being stored may finish: otherwise it would stay behind, unknown to anyone.
	late := time.AfterFunc(besideTime, r.besideStop)
	r.beside.Wait()
	late.Stop()
	if r.saver != nil {
		r.saver.close()
	}
	r.release()
}

// release gives back the memory of denoising.
func (r *run) release() {
	if r.seq != nil {
		r.seq.Free()
	}
	r.freeTexts()
	if r.saver != nil {
		r.saver.copies = nil
	}
}

// branches lists the branches that this rank's group computes.
func (r *run) branches() []diffusion.Branch {
	switch {
	case !r.Plan.Spec.Guided():
		return []diffusion.Branch{diffusion.Conditional}
	case r.Plan.Mesh.CFG == 1:
		return []diffusion.Branch{diffusion.Conditional, diffusion.Unconditional}
	}
	_, cfg, _ := r.layout.Place(r.Rank.Rank)
	return []diffusion.Branch{diffusion.Branch(cfg)}
}
