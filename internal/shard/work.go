package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// errNotLive stops a rank whose attempt is over; nobody waits for its word.
var errNotLive = errors.New("the attempt is not live any more")

// work is the rank that a node runs.
type work struct {
	order    wire.StartOrder
	ctx      context.Context
	cancel   context.CancelCauseFunc
	yield    yielding // stop at the next step boundary with a checkpoint, for another attempt
	activity activity
	said     bool          // the leader has heard how it ended
	returned chan struct{} // closed when the rank has

	mu       sync.Mutex
	progress job.Progress
}

func (w *work) name() wire.Work {
	return wire.Work{Job: w.order.Plan.Job, Attempt: w.order.Plan.Attempt, Rank: w.order.Rank}
}

func (w *work) is(id job.ID, a job.Attempt) bool {
	return w.order.Plan.Job == id && w.order.Plan.Attempt == a
}

// at returns the stage and the count of what is done in it.
func (w *work) at() (job.Stage, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress.Stage, w.progress.Done
}

func (s *Shard) onStart(m *natsio.Msg) {
	o, err := wire.Decode[wire.StartOrder](m.Data)
	if err == nil {
		err = s.accept(o)
	}
	ack := wire.Ack{OK: err == nil}
	if err != nil {
		ack.Reason = err.Error()
	}
	s.answer(m, ack)
}

// accept begins an order; repeating one that runs changes nothing.
func (s *Shard) accept(o wire.StartOrder) error {
	if err := s.judge(o); err != nil {
		return err
	}
	if n := o.Plan.Spec.Threads; n != 0 && n != s.dev.Threads() {
		return fmt.Errorf("threads: %d is not what shard %s runs with: %d", n, s.cfg.Name,
			s.dev.Threads())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.work; w != nil {
		if w.is(o.Plan.Job, o.Plan.Attempt) && w.order.Rank == o.Rank {
			return nil
		}
		return fmt.Errorf("shard %s still works on job %s attempt %d", s.cfg.Name,
			w.order.Plan.Job, w.order.Plan.Attempt)
	}
	if s.ctx.Err() != nil {
		return fmt.Errorf("shard %s is stopping", s.cfg.Name)
	}
	if s.leaving.Load() {
		return fmt.Errorf("shard %s is being drained", s.cfg.Name)
	}
	if s.last.Plan.Job == o.Plan.Job && s.last.Plan.Attempt >= o.Plan.Attempt {
		return fmt.Errorf("shard %s has had attempt %d of job %s already", s.cfg.Name,
			s.last.Plan.Attempt, o.Plan.Job)
	}
	s.last = o
	w := &work{order: o, returned: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(s.ctx))
	s.work = w
	s.wg.Go(func() { s.run(w) })
	context.AfterFunc(w.ctx, func() { s.fence(w) })
	return nil
}

// yielding is whether an attempt is to stop for another one. Orders say so, pulses say so again or
// take it back.
type yielding struct {
	mu     sync.Mutex
	on     bool
	orders int
}

func (y *yielding) told() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.on
}

func (y *yielding) order() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.on = true
	y.orders++
}

// seen returns how many orders came so far, for pulse.
func (y *yielding) seen() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.orders
}

// pulse is what a heartbeat's answer says, which may be older than an order that came while it was
// on its way: such a one is not taken back.
func (y *yielding) pulse(on bool, seen int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if on || y.orders == seen {
		y.on = on
	}
}

func (s *Shard) onStop(m *natsio.Msg) {
	o, err := wire.Decode[wire.Stop](m.Data)
	if err != nil {
		s.answer(m, wire.Ack{Reason: err.Error()})
		return
	}
	if w := s.current(); w != nil && w.is(o.Job, o.Attempt) {
		switch {
		case o.Yield:
			w.yield.order()
		case o.Cancel:
			w.cancel(engine.ErrCancelled)
		default:
			w.cancel(errNotLive)
		}
	}
	s.answer(m, wire.Ack{OK: true})
}

func (s *Shard) answer(m *natsio.Msg, a wire.Ack) {
	if err := m.Respond(wire.Encode(a)); err != nil {
		s.log.Warn("cannot answer an order", "error", err)
	}
}

// run runs a rank to its end, reports, and makes the node idle again.
func (s *Shard) run(w *work) {
	p := w.order.Plan
	log := s.log.With("job", p.Job, "attempt", p.Attempt, "rank", w.order.Rank)
	log.Info("started", "mesh", p.Mesh.String())
	s.beatNow()
	res, err := s.compute(w)
	close(w.returned)
	if err != nil && errors.Is(context.Cause(w.ctx), engine.ErrCancelled) {
		err = engine.ErrCancelled // rather than what it broke off
	}
	switch {
	case err == nil && w.order.Rank == 0:
		s.deliver(w, wire.SubjectComplete,
			wire.Completion{Node: s.id, Work: w.name(), Result: res})
	case err == nil || w.said || errors.Is(context.Cause(w.ctx), errNotLive):
	default:
		s.deliver(w, wire.SubjectFail, s.failure(w, err))
	}
	switch {
	case err == nil:
		log.Info("ended")
	case errors.Is(err, engine.ErrCancelled) || errors.Is(context.Cause(w.ctx), errNotLive):
		log.Info("stopped", "reason", err)
	default:
		log.Warn("failed", "error", err)
	}
	w.cancel(nil)
	s.mu.Lock()
	s.work = nil
	s.mu.Unlock()
	s.beatNow()
	rankHost{s, w}.ReleaseMemory() // now, not at the heap's next peak
}

// compute joins the other ranks and runs the engine.
func (s *Shard) compute(w *work) (job.Result, error) {
	if s.damage != nil {
		return job.Result{}, fmt.Errorf("nothing was computed (step 0 of %d): %w",
			w.order.Plan.Spec.TotalSteps(), s.damage)
	}
	var objects artifact.Store
	err := engine.RetryStore(w.ctx, func() (err error) {
		objects, err = s.objects(w.ctx)
		return err
	})
	if err != nil {
		return job.Result{}, fmt.Errorf("cannot open the object store: %w", err)
	}
	dtype, err := compute.ParseDType(w.order.Plan.Spec.DType)
	if err != nil {
		return job.Result{}, err
	}
	if err := s.engine.Use(w.ctx, dtype); err != nil {
		return job.Result{}, err
	}
	tr, err := s.join(w)
	if err != nil {
		return job.Result{}, err
	}
	defer tr.Close()
	dir, err := s.tempDir()
	if err != nil {
		return job.Result{}, err
	}
	defer os.RemoveAll(dir)
	res, err := s.engine.Run(w.ctx, engine.Assignment{Plan: w.order.Plan, Rank: w.order.Rank,
		Transport: tr, Objects: objects, TempDir: dir,
		SharedCores: s.cfg.Data.inProcess() && s.dev.Threads() > 0,
		MemoryMax:   s.room, Speed: cmp.Or(s.speed.mean(), s.rated),
		PreviewBytesMax: wire.PreviewLimit, StepCache: &s.steps}, rankHost{s, w})
	switch {
	case errors.Is(err, engine.ErrYielded):
		s.sayFirst(w, err)
	case w.ctx.Err() == nil && engine.Permanent(err):
		s.sayFirst(w, err)
		tr.Abort()
	case err != nil && !errors.Is(context.Cause(w.ctx), engine.ErrCancelled):
		tr.Abort()
	}
	return res, err
}

// sayFirst tells the leader how a rank ended before the others miss it and report that instead.
func (s *Shard) sayFirst(w *work, err error) {
	s.deliver(w, wire.SubjectFail, s.failure(w, err))
	w.said = true
}

func (s *Shard) join(w *work) (collective.Transport, error) {
	p := w.order.Plan
	if hub := s.cfg.Data.Hub; hub != nil {
		return hub.Join(string(p.Job), uint32(p.Attempt), w.order.Rank, len(p.Nodes))
	}
	nodes := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		nodes[i] = string(n)
	}
	tr, err := s.link.endpoint.Join(string(p.Job), uint32(p.Attempt), w.order.Rank, nodes)
	if err != nil || s.cfg.process == nil {
		return tr, err
	}
	return s.cfg.process.handOver(tr, p), nil
}

func (s *Shard) failure(w *work, err error) wire.Failure {
	f := wire.Failure{Node: s.id, Work: w.name(), Peer: -1, Reason: err.Error(),
		Cancelled: errors.Is(err, engine.ErrCancelled), Yielded: errors.Is(err, engine.ErrYielded)}
	var damaged *engine.DamagedError
	f.Damaged = errors.As(err, &damaged)
	var peer *collective.PeerError
	if errors.As(err, &peer) {
		f.Peer = peer.Rank
	}
	if f.Final = w.ctx.Err() == nil && engine.Permanent(err); f.Final {
		f.Reason += s.remedy(w, err)
	}
	return f
}

// deliver repeats a last word until a leader has taken it, or says that it is of no use, or the
// shard stops.
func (s *Shard) deliver(w *work, subject string, m any) {
	for s.ctx.Err() == nil && !errors.Is(context.Cause(w.ctx), errNotLive) {
		a, err := ask[wire.Ack](s.ctx, s.nc, subject, m)
		if err == nil && (a.OK || a.Final) {
			return
		}
		s.log.Debug("a report was not taken", "subject", subject, "reason", a.Reason, "error", err)
		s.pause(retryPause)
	}
}
