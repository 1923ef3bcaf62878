package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/wire"
)

// work is the rank that a node runs, from the order that started it to its report.
type work struct {
	order    wire.StartOrder
	ctx      context.Context // ends the rank; the cause says why
	cancel   context.CancelCauseFunc
	yield    yieldRequest
	activity activity
	meter    rankMeter
	reported bool          // the leader has heard how the rank ended; run's goroutine's alone
	returned chan struct{} // closed when the engine has returned

	mu       sync.Mutex
	progress job.Progress // the latest
}

// name identifies the rank in messages.
func (w *work) name() wire.Work {
	return wire.Work{Job: w.order.Plan.Job, Attempt: w.order.Plan.Attempt, Rank: w.order.Rank}
}

// isAttempt tells messages about the rank at work from those about an earlier attempt.
func (w *work) isAttempt(id job.ID, a job.Attempt) bool {
	return w.order.Plan.Job == id && w.order.Plan.Attempt == a
}

// stage returns the stage of the rank and the count of what is done in it.
func (w *work) stage() (job.Stage, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress.Stage, w.progress.Done
}

// run runs a rank to its end, reports that, and makes the node idle again.
func (s *Shard) run(w *work) {
	p := w.order.Plan
	log := s.log.With("job", p.Job, "attempt", p.Attempt, "rank", w.order.Rank)
	log.Info("started", "mesh", p.Mesh.String())
	s.beatNow()

	// Once returned is closed, the rank is not taken for one that hangs, however long its report
	// takes.
	res, err := s.compute(w)
	close(w.returned)
	s.endMeter(w)
	if err != nil && errors.Is(context.Cause(w.ctx), engine.ErrCancelled) {
		err = engine.ErrCancelled // rather than the call that was interrupted
	}

	notLive := errors.Is(context.Cause(w.ctx), errNotLive)
	switch {
	case err == nil && w.order.Rank == 0:
		s.deliver(w, wire.SubjectComplete,
			wire.Completion{Node: s.id, Work: w.name(), Result: res, Usage: s.usage(w)})
	case err != nil && !w.reported && !notLive:
		s.deliver(w, wire.SubjectFail, s.failure(w, err))
	}
	notLive = errors.Is(context.Cause(w.ctx), errNotLive) // a leader may have said so meanwhile
	switch {
	case err == nil:
		log.Info("ended")
	case errors.Is(err, engine.ErrCancelled) || notLive:
		log.Info("stopped", "reason", err)
	default:
		log.Warn("failed", "error", err)
	}

	// The node is idle from here on, and takes the next order.
	w.cancel(nil)
	s.mu.Lock()
	s.work = nil
	s.mu.Unlock()
	s.beatNow()
	rankHost{s, w}.ReleaseMemory() // now, rather than at the heap's next peak
}

// compute joins the other ranks and runs the engine.
func (s *Shard) compute(w *work) (job.Result, error) {
	p := w.order.Plan
	m := s.find(p.Spec.Model) // the order was checked
	if m.damage != nil {
		return job.Result{}, fmt.Errorf("nothing was computed (step 0 of %d): %w",
			p.Spec.TotalSteps(), m.damage)
	}

	var objects artifact.Store
	err := engine.RetryStore(w.ctx, func() (err error) {
		objects, err = s.objects(w.ctx)
		return err
	})
	if err != nil {
		return job.Result{}, fmt.Errorf("cannot open the object store: %w", err)
	}

	// Joined first, the others hear that this rank lives, however long it loads.
	tr, err := s.join(w)
	if err != nil {
		return job.Result{}, err
	}
	defer tr.Close()

	if err := s.prepare(w, m, objects); err != nil {
		s.leaveOthers(w, tr, err)
		return job.Result{}, err
	}
	dir, err := os.MkdirTemp(s.cfg.TempDir, "longtake-")
	if err != nil {
		return job.Result{}, err
	}
	defer os.RemoveAll(dir)

	res, err := s.shelf.engine.Run(w.ctx, engine.Assignment{Plan: p, Rank: w.order.Rank,
		Transport: tr, Objects: objects, TempDir: dir,
		SharedCores: s.cfg.Data.inProcess() && s.dev.Threads() > 0,
		MemoryMax:   s.memory.Load(), Speed: cmp.Or(s.speed.mean(), s.ratedSpeed),
		PreviewBytesMax: wire.PreviewLimit, StepCache: &s.stepCache,
		Texts: s.texts(w.ctx, m)}, rankHost{s, w})
	s.leaveOthers(w, tr, err)
	return res, err
}

// prepare has the engine ready for the job: its model loaded, in the type that it asks for, and
// room for the clip where weights of other models stand in its way. LoRAs come last: one that
// cannot be used is the job's fault, and takes no model from the node.
func (s *Shard) prepare(w *work, m *served, objects artifact.Store) error {
	p := w.order.Plan
	dtype, err := compute.ParseDType(p.Spec.DType)
	if err != nil {
		return err
	}

	if m != s.shelf.current {
		rankHost{s, w}.Progress(job.Progress{Job: p.Job, Attempt: p.Attempt, Stage: job.StageLoad,
			Total: 1})
		if err := s.use(w.ctx, m, dtype); err != nil {
			return err
		}
	}
	if err := s.shelf.engine.Use(w.ctx, dtype, s.loras(p.Spec, objects)...); err != nil {
		return err
	}

	need := plan.MemoryOf(m.info, p.Spec, p.Mesh)
	if s.cfg.Weights.Idle() > 0 && need.Least()-need.Weights > s.memory.Load() {
		s.cfg.Weights.Trim()
		rankHost{s, w}.ReleaseMemory()
		s.measureMemory(m, dtype)
	}
	return nil
}

// join makes the node a rank of its attempt's data plane.
func (s *Shard) join(w *work) (collective.Transport, error) {
	tr, err := s.link.join(w.order.Plan, w.order.Rank, w.order.Key)
	if err != nil || s.cfg.Process == nil || s.cfg.Data.Hub != nil {
		return tr, err
	}
	return s.cfg.Process.connect(tr, w.order.Plan), nil
}

// leaveOthers ends an attempt's transport as the end of the rank asks. A rank that fails aborts it,
// so that the others fail at once instead of waiting for the peer timeout; not where the job was
// cancelled, of which they hear themselves. Where the reason matters more than the loss that the
// others are going to report, the leader hears it first.
func (s *Shard) leaveOthers(w *work, tr collective.Transport, err error) {
	switch {
	case errors.Is(err, engine.ErrYielded):
		s.reportFirst(w, err)
	case w.ctx.Err() == nil && engine.Permanent(err):
		s.reportFirst(w, err)
		tr.Abort()
	case err != nil && !errors.Is(context.Cause(w.ctx), engine.ErrCancelled):
		tr.Abort()
	}
}
