package engine

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
	"github.com/longtake/longtake/internal/plan"
)

// Assignment is one rank's part of an attempt: everything that Run needs to know of it beforehand.
type Assignment struct {
	// Plan is what the attempt makes, on which mesh, and what earlier attempts have left of it.
	Plan job.Plan
	// Rank is the number of this rank in the plan's mesh, from 0.
	Rank int
	// Transport reaches the plan's other ranks. It stays the caller's, who closes it.
	Transport collective.Transport
	// Objects is where the ranks of all attempts find checkpoints, parts and the finished clip.
	Objects artifact.Store
	// TempDir is a folder of the rank's own, for checkpoints, latents and the clip being encoded.
	TempDir string
	// SharedCores says that the ranks compute on the same cores: rank 0 then decodes alone.
	SharedCores bool
	// MemoryMax is how many bytes the rank may hold where the device has no memory of its own; 0: no
	// limit.
	MemoryMax int64
	// Speed is about how many multiplications and additions the device makes in a second; 0: not
	// known. The first forecast of the time that is left follows from it.
	Speed float64
	// PreviewBytesMax is how many bytes a preview may have.
	PreviewBytesMax int
	// StepCache keeps what this node computes of the step under way for the next attempt, and has what
	// it computed in the one before; nil: neither.
	StepCache *StepCache
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

// run is an Assignment at work.
type run struct {
	Assignment
	host    Host
	watch   Supervisor           // the host, or one that does nothing
	direct  collective.Transport // without the supervisor: for what is sent beside the computation
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
func (e *Engine) Run(ctx context.Context, a Assignment, h Host) (job.Result, error) {
	defer compute.StopWith(ctx, e.dev.Main)()
	defer compute.StopWith(ctx, e.dev.Decode)()
	r := e.newRun(a, h)
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
	if a.Rank != 0 {
		return job.Result{}, r.handIn(ctx, x)
	}
	return r.finish(ctx, x)
}

// newRun prepares a run. Calls through its Transport count as waiting for others.
func (e *Engine) newRun(a Assignment, h Host) *run {
	r := &run{Assignment: a, host: h, e: e, seconds: map[job.Stage]float64{},
		closing: make(chan struct{}), direct: a.Transport, watch: unwatched{}}
	if s, ok := h.(Supervisor); ok {
		r.watch = s
		r.Transport = watchedTransport{a.Transport, s}
	}
	return r
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
	r.grid = latentGrid(r.e.folder, s)
	r.layout = partition.Layout{Timeline: plan.Timeline(r.grid, s), Mesh: p.Mesh,
		Shares: p.Shares}
	r.held = diffusion.NewWindows(r.layout, r.Rank, r.e.dit.TokenWidth(), r.swapSeams)
	first := r.Rank / p.Mesh.Ulysses * p.Mesh.Ulysses
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
	_, cfg, _ := r.layout.Place(r.Rank)
	return []diffusion.Branch{diffusion.Branch(cfg)}
}
