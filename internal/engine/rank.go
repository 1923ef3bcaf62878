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
	"github.com/longtake/longtake/internal/tensor"
)

// Assignment is one rank's part of an attempt: everything that Run needs to know before it starts.
type Assignment struct {
	// Plan says what the attempt makes, on which mesh, and what earlier attempts have left of it.
	Plan job.Plan
	// Rank is the number of this rank in the plan's mesh, from 0.
	Rank int
	// Transport reaches the plan's other ranks. It stays the caller's, who closes it after Run.
	Transport collective.Transport
	// Objects is where the ranks of all attempts leave checkpoints, parts and the finished clip.
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
	// StepCache keeps what this node computes of the step under way for the next attempt, and has
	// what it computed in the one before; nil: neither.
	StepCache *StepCache
	// Texts is where the embeddings of texts are kept from one job to the next.
	Texts Texts
}

// backgroundGrace is how long a rank that is done waits for parts that are still being stored.
const backgroundGrace = time.Second

// run is an Assignment at work. Its fields belong to the goroutine that called Run, but for those
// whose comment names another owner.
type run struct {
	Assignment
	e      *Engine
	host   Host
	watch  Supervisor           // the host, or one that does nothing
	direct collective.Transport // the Assignment's; waits on it do not count as the rank's

	grid        partition.Grid // of the latent of the whole clip
	denoised    partition.Grid // the same, after a frame for each reference picture
	layout      partition.Layout
	windows     *diffusion.Windows // what of the clip this rank holds
	group       *collective.Group  // the ranks that share this rank's windows and branch
	seq         *wan.Sequence      // for windows of seqFrames frames
	seqFrames   int
	timesteps   []float32         // of a window's steps
	reading     bool              // whether the other expert's files are being read
	control     controlled        // what controls the clip; none with most models
	tiles       *compute.KeyTiles // of windows of tilesFrames frames, where attention is sparse
	tilesFrames int
	skips       *stepSkips     // nil: every step runs all blocks
	embeds      [2][][]float32 // by branch and scene: [tokens, text_dim]
	blends      [2][]blend     // by branch: mixtures of scenes that windows need
	conditions  conditions
	checkpoints *checkpointer // nil before the denoising loop
	blocks      *blocks       // of a causal clip; nil for others, and before the denoising loop
	doneBefore  int           // steps of a causal clip that an earlier attempt has made
	noise       *noiseSource  // nil before the denoising loop; for windows made together

	stageSeconds map[job.Stage]float64
	stepTimes    []time.Duration
	inStep       stepProgress
	meter        stepMeter
	notices      []string // for people, in the result

	framesDecoded int
	ranksDecoding int // on rank 0, while there are several
	windowsReused int // of the first step: those that an earlier attempt had computed

	bytesGathered    atomic.Uint64 // sent of checkpoints and latents; written by any goroutine
	bytesBeforeSteps uint64        // sent before the first step
	bytesInSteps     uint64        // sent in all steps

	// What is stored while the rank computes runs in goroutines of the WaitGroup. They end when
	// their context does, or when closing is closed.
	background     sync.WaitGroup
	backgroundCtx  context.Context
	stopBackground context.CancelFunc
	closing        chan struct{}
}

// Run computes the rank's part of the clip, in the caller's goroutine and some of its own, which
// have ended when it returns. Rank 0 stores the latents and the video and returns the result; other
// ranks return an empty one.
//
// When ctx ends, Run returns soon with its cause, in the middle of what the devices compute. An
// error names the stage in which it happened; Permanent tells whether another attempt would fail
// alike. An Engine can be used again after an error.
func (e *Engine) Run(ctx context.Context, a Assignment, h Host) (job.Result, error) {
	defer compute.StopWith(ctx, e.dev.Main)()
	defer compute.StopWith(ctx, e.dev.Decode)()
	r := e.newRun(a, h)
	r.backgroundCtx, r.stopBackground = context.WithCancel(ctx)
	defer r.stopBackground()
	if err := r.prepare(); err != nil {
		return job.Result{}, err
	}
	defer r.close()

	// An earlier attempt may have been lost after its last step: then only decoding is left.
	if res, ok, err := r.finishKept(ctx); ok || err != nil {
		return res, err
	}

	// From here on all ranks go through the same stages.
	if err := r.stage(job.StageText, func() error { return r.encodeInputs(ctx) }); err != nil {
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

	// The other ranks' part ends with the rows that they decode for rank 0.
	if a.Rank != 0 {
		return job.Result{}, r.sendLatents(ctx, x)
	}
	return r.finish(ctx, x)
}

// encodeInputs turns texts and pictures into what the transformer reads.
func (r *run) encodeInputs(ctx context.Context) error {
	if err := r.encodeTexts(ctx); err != nil {
		return err
	}
	return r.prepareConditions(ctx)
}

// newRun prepares a run of which nothing is open. Calls through its Transport count as waiting for
// others.
func (e *Engine) newRun(a Assignment, h Host) *run {
	r := &run{Assignment: a, host: h, e: e, stageSeconds: map[job.Stage]float64{},
		closing: make(chan struct{}), direct: a.Transport, watch: unwatched{}}
	// Gathering uses direct: it waits for the others while the rank itself computes.
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
	r.stageSeconds[s] += time.Since(start).Seconds()
	if err != nil && !errors.Is(err, ErrCancelled) {
		return fmt.Errorf("%s: %w", s, err)
	}
	return err
}

// prepare lays out the clip among the ranks, and reserves the memory of this one. It fails before
// anything is computed where the plan does not fit the ranks, or the clip does not fit the device.
func (r *run) prepare() error {
	p, s := r.Plan, r.Plan.Spec
	if p.Mesh.Size() != r.Transport.Size() || r.Transport.Size() != len(p.Nodes) {
		return fmt.Errorf("a mesh of %d ranks does not fit %d nodes", p.Mesh.Size(), len(p.Nodes))
	}
	r.grid, r.denoised = latentGrid(r.e.folder, s), denoisedGrid(r.e.folder, s)
	r.layout = partition.Layout{Timeline: plan.Timeline(r.denoised, s), Mesh: p.Mesh,
		Shares: p.Shares}
	r.windows = diffusion.NewWindows(r.layout, r.Rank, r.e.form.TokenWidth(), r.swapSeams)

	var err error
	if r.timesteps, err = r.stepTimesteps(); err != nil {
		return err
	}
	if err := r.checkExperts(); err != nil {
		return err
	}
	r.skips = r.newStepSkips()

	// The ranks of a sequence-parallel group have numbers in a row.
	first := r.Rank / p.Mesh.Ulysses * p.Mesh.Ulysses
	members := make([]int, p.Mesh.Ulysses)
	for i := range members {
		members[i] = first + i
	}
	if r.group, err = collective.NewGroup(r.Transport, members); err != nil {
		return err
	}

	// The sequence of the first window is the first memory that the device gives.
	if err := r.reserve(); err != nil {
		return err
	}
	return r.useWindow(r.layout.Windows(0)[0])
}

// useWindow makes the sequence one of a window's length; most windows of a clip have the same.
func (r *run) useWindow(window partition.Range) (err error) {
	if r.seq != nil && r.seqFrames == window.Len() {
		return nil
	}
	if r.seq != nil {
		r.seq.Free()
	}
	r.skips.free() // of a window of another length
	grid, tokens := r.windowGrid(window), r.layout.Split(window)
	if r.causal() {
		r.seq, err = r.e.form.NewCausalSequence(grid, r.group, tokens, r.headRanges(), r.reach())
	} else {
		r.seq, err = r.e.form.NewSequence(grid, r.group, tokens, r.headRanges())
	}
	r.seqFrames = window.Len()
	return err
}

// windowGrid is the latent grid of a window of token frames.
func (r *run) windowGrid(window partition.Range) partition.Grid {
	grid := r.denoised
	grid.T = window.Len() * grid.PT
	return grid
}

// headRanges are the attention heads of each rank of a group.
func (r *run) headRanges() []partition.Range {
	return partition.Even(r.e.folder.Transformer.NumAttentionHeads, r.Plan.Mesh.Ulysses)
}

// close ends what runs in the background and frees the device's memory.
func (r *run) close() {
	close(r.closing)

	// A part that is being stored may finish: otherwise its object would stay in the store, and no
	// record would name it.
	late := time.AfterFunc(backgroundGrace, r.stopBackground)
	r.background.Wait()
	late.Stop()

	if r.checkpoints != nil {
		r.checkpoints.close()
	}
	r.blocks.close()
	r.releaseDenoising()
}

// releaseDenoising frees the memory that only denoising needs. It may be called again.
func (r *run) releaseDenoising() {
	if r.seq != nil {
		r.seq.Free()
	}
	r.skips.free()
	r.freeBlends()
	r.conditions.free()
	if r.checkpoints != nil {
		r.checkpoints.copies = nil
	}
}

// branches lists the branches of guidance that this rank's group computes.
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

// world is the group of all ranks.
func (r *run) world() (*collective.Group, error) {
	all := make([]int, r.Transport.Size())
	for i := range all {
		all[i] = i
	}
	return collective.NewGroup(r.Transport, all)
}

// shareFirst gives n values of rank 0 to all ranks, which call it together. It reads own on rank 0
// alone; what names the values in errors.
func (r *run) shareFirst(ctx context.Context, tag collective.Tag, own []float32, n int,
	what string) ([]float32, error) {
	world, err := r.world()
	if err != nil {
		return nil, err
	}

	// The others give nothing to the gathering, and take rank 0's.
	var first []byte
	if r.Rank == 0 {
		first = tensor.Bytes(own)
	}
	all, err := world.AllGather(ctx, tag, first)
	if err != nil {
		return nil, err
	}
	if len(all[0]) != 4*n {
		return nil, r.badMessage(0, what, len(all[0]))
	}
	return tensor.Floats(all[0]), nil
}

// badMessage names a peer that sent something of a size that cannot be right.
func (r *run) badMessage(peer int, what string, n int) error {
	return &collective.PeerError{Rank: peer, Err: fmt.Errorf("sent %d bytes of %s", n, what)}
}
