package engine

import (
	"context"
	"errors"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Host is the node that runs a rank, as the rank sees it: where progress, checkpoints and parts are
// reported, and where the rank asks whether it should go on.
//
// An engine calls its methods from several goroutines of the rank at the same time, from the moment
// Run is entered until it returns, never afterwards. A method may block only where its comment says
// so; the others are called between two steps or two frames, and hold up the rank while they run.
type Host interface {
	// Progress is told how far the rank is: at the beginning of a stage, after every step and every
	// group of frames, and on rank 0 twice a second within a long step. Every rank calls it, from the
	// goroutine that called Run.
	Progress(p job.Progress)

	// Warn is told of an error that ends nothing, such as a checkpoint that could not be written; what
	// says which work was given up, or is done again.
	Warn(what string, err error)

	// ShouldYield is asked on rank 0 at every step boundary, from the goroutine that called Run. Once
	// it returns true, Run waits until the checkpoint of that step is durable and returns ErrYielded;
	// where the step has no checkpoint the rank goes on and asks again after the next one.
	ShouldYield() bool

	// SaveCheckpoint makes a checkpoint, whose object is in the store, the one that the next attempt
	// resumes from. Only rank 0 calls it, from the goroutine that writes checkpoints, with rising
	// steps, and only where the plan asks for checkpoints. It may block until ctx ends; after an error
	// the rank goes on, and the checkpoint counts for nothing.
	SaveCheckpoint(ctx context.Context, c job.Checkpoint) error

	// KeepPart makes a stored object a part of the job under a name of package job, so that a later
	// attempt need not make it again. The rank that made the part calls it, and may call it again
	// after an error, unless that is ErrRefused. It may block until ctx ends.
	KeepPart(ctx context.Context, name string, o job.Object) error

	// StoreFull reports whether the object store takes nothing of a kind at present: final objects
	// (the latents and the clip) are those that the job is for, the others only save work. It must
	// not block: it is asked before each object is stored.
	StoreFull(final bool) bool
}

// Previewer is a Host that shows people what becomes of a clip. A rank whose Host is none makes no
// previews, whatever its plan says.
type Previewer interface {
	// PublishPreview shows an animated picture of the clip as it is after so many steps. Rank 0 calls
	// it from the goroutine that makes previews, one at a time; it may block until ctx ends.
	PublishPreview(ctx context.Context, step int, picture []byte) error
}

// Supervisor is a Host that tells a rank that computes from one that waits for others, and learns
// how fast the device is.
type Supervisor interface {
	// Computed is told on every rank when layers of a pass through the model are done; part rises
	// from 0 to 1 within each pass, of which a step has one or more.
	Computed(part float64)

	// Waiting is called before the rank waits for other ranks or for the store, from any goroutine;
	// the function that it returns is called when that wait is over. Waits may overlap.
	Waiting() (done func())

	// Measured is told of a pass that no other rank shared: its multiplications and additions, and
	// how long the device took for them.
	Measured(operations float64, took time.Duration)
}

// Pacer is a Host that is called at every step boundary, on every rank, with the count of steps
// that are done. It may hold the rank there, as tests do, until ctx ends.
type Pacer interface {
	AfterStep(ctx context.Context, done int)
}

// MemoryHost is a Host that decides what happens to memory that the rank needs no more.
// ReleaseMemory is called once, after denoising and before the decoder takes its own.
type MemoryHost interface {
	ReleaseMemory()
}

// Errors that end a rank, or the attempts to report something to its Host.
var (
	// ErrCancelled is the cause of a context that ends because the job was cancelled.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrYielded ends rank 0 at a step boundary whose checkpoint is durable: another attempt goes on
	// from there.
	ErrYielded = errors.New("the attempt stopped at a step boundary, as it was told to")
	// ErrRefused is returned by a Host, or is what its store says, where asking again would not help.
	ErrRefused = errors.New("refused")
)
