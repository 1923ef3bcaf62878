package engine

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// checkpointer writes checkpoints while the rank computes: the ranks of the first branch send what
// they hold to rank 0, which stores it. A step boundary waits until the gathering of the one before
// is over, but never for the store: where that is slow or away, the latest snapshot takes the place
// of those that wait.
//
// Its methods belong to the goroutine that called Run. Gathering has a goroutine of its own on
// every rank, storing and previews have one each on rank 0.
type checkpointer struct {
	r    *run
	ctx  context.Context
	stop context.CancelFunc

	gathers   sync.WaitGroup
	gatherErr error               // of the last gathering; to be read after gathers.Wait
	copies    [][]float32         // of the state that is being gathered; used again by the next one
	kept      [][]partition.Range // by rank: the tokens that it gives; no token twice

	writers  sync.WaitGroup    // of rank 0
	waiting  chan snapshot     // of one: the latest snapshot that is not being stored yet
	outcomes chan storeOutcome // of one: how the latest attempt to store one went
	previews *previewer        // nil: none are made
}

// storeOutcome is how storing the checkpoint of a step went.
type storeOutcome struct {
	step int
	err  error
}

// snapshot is the state of all ranks after a step, in a file that nothing else uses.
type snapshot struct {
	step  int
	since time.Time // the end of the step
	file  *os.File
}

// discard removes the snapshot's file.
func (s snapshot) discard() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// newCheckpointer starts what writes checkpoints on rank 0, where the plan asks for any. The caller
// closes the checkpointer.
func (r *run) newCheckpointer(ctx context.Context) *checkpointer {
	c := &checkpointer{r: r, kept: r.layout.Kept(), waiting: make(chan snapshot, 1),
		outcomes: make(chan storeOutcome, 1)}
	c.ctx, c.stop = context.WithCancel(ctx)
	if r.Plan.CheckpointEvery == 0 || r.Rank != 0 {
		return c
	}

	// Previews come from the same files, so there are none without checkpoints.
	c.writers.Go(c.write)
	if c.previews = r.newPreviewer(c.ctx); c.previews != nil {
		c.writers.Go(func() { c.previews.run(c.previews.publish) })
	}
	return c
}

// save begins a checkpoint of the state after `done` steps, if one is due: the first branch's ranks
// gather it while they go on. now returns the state as a copy.
func (c *checkpointer) save(done int, now func() state) {
	if c.r.Plan.CheckpointEvery == 0 || !c.due(done) && done != c.r.Plan.Spec.TotalSteps() {
		return
	}
	// The other branch's ranks hold the same latent.
	if _, cfg, _ := c.r.layout.Place(c.r.Rank); cfg != 0 {
		return
	}

	since := time.Now()
	c.awaitGathering() // which reads the copies that now overwrites
	s := now()
	c.gathers.Go(func() {
		c.gatherErr = c.gather(done, since, s)
		c.warn(c.gatherErr)
	})
}

// due reports whether a checkpoint is due after so many steps. Of a causal clip one is due behind
// each block, and at no other step. Where steps are skipped, it waits for the next one that is made
// in full, and so needs nothing of those before.
func (c *checkpointer) due(done int) bool {
	every := c.r.Plan.CheckpointEvery
	if every == 0 || c.r.causal() {
		return every > 0 && c.r.blockEnds(done)
	}
	if !c.r.inFull(done) {
		return false
	}

	before := done - 1 // after which a checkpoint could be before
	for !c.r.inFull(before) {
		before--
	}
	return done/every > before/every
}

// awaitGathering lets the last gathering finish, which waits for the other ranks.
func (c *checkpointer) awaitGathering() {
	defer c.r.watch.Waiting()()
	c.gathers.Wait()
}

// clone copies v into memory that the i-th tensor of the checkpoint before had.
func (c *checkpointer) clone(i int, v []float32) []float32 {
	for len(c.copies) <= i {
		c.copies = append(c.copies, nil)
	}
	c.copies[i] = append(c.copies[i][:0], v...)
	return c.copies[i]
}

// write stores snapshots until the checkpointer is closed. While the store stays full it warns
// once.
func (c *checkpointer) write() {
	wasFull := false
	for {
		select {
		case <-c.ctx.Done():
			return

		// Steps may be faster than the store: what came meanwhile was one snapshot, the latest.
		case s := <-c.waiting:
			err := c.store(s)
			if full := errors.Is(err, artifact.ErrFull); !full || !wasFull {
				c.warn(err)
				wasFull = full
			}

			// Only this goroutine sends, so there is room once the outcome before is out.
			select {
			case <-c.outcomes:
			default:
			}
			c.outcomes <- storeOutcome{s.step, err}
		}
	}
}

// store makes a snapshot durable: its object is in the store and the host has recorded it. The
// snapshot's file is gone afterwards. A full store is an error at once, since steps go on without
// checkpoints.
func (c *checkpointer) store(s snapshot) error {
	defer s.discard()
	if c.r.host.StoreFull(false) {
		return artifact.ErrFull
	}
	o, err := c.r.Objects.Put(c.ctx, s.file)
	if err != nil {
		return err
	}
	return c.r.host.SaveCheckpoint(c.ctx, job.Checkpoint{Step: s.step, Object: o,
		Seconds: time.Since(s.since).Seconds()})
}

// awaitDurable waits until the state after `done` steps is stored and recorded, and reports whether
// it is. It is not where no checkpoint is due at that step, or gathering or storing it has failed.
// Only rank 0 may call it.
func (c *checkpointer) awaitDurable(done int) bool {
	if !c.due(done) {
		return false
	}
	c.awaitGathering()
	if c.gatherErr != nil {
		return false // the writer gets no snapshot of this step, so there would be no outcome
	}

	// Outcomes of steps before this one may come first.
	defer c.r.watch.Waiting()()
	for {
		select {
		case <-c.ctx.Done():
			return false
		case o := <-c.outcomes:
			if o.step >= done {
				return o.err == nil
			}
		}
	}
}

// close gives up what is under way and waits for the checkpointer's goroutines.
func (c *checkpointer) close() {
	c.stop()
	c.gathers.Wait()
	c.writers.Wait()

	// Nobody takes what still waits.
	select {
	case s := <-c.waiting:
		s.discard()
	default:
	}
	if c.previews != nil {
		c.previews.close()
	}
}

// warn tells the host of an error, unless the checkpointer is being closed.
func (c *checkpointer) warn(err error) {
	if err != nil && c.ctx.Err() == nil {
		c.r.host.Warn("cannot save a checkpoint", err)
	}
}
