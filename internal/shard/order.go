package shard

import (
	"context"
	"errors"
	"fmt"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/wire"
)

// errNotLive is the cause that stops a rank whose attempt is over. Nobody waits for its report.
var errNotLive = errors.New("the attempt is not live any more")

// onStart takes an order to start a rank, and answers whether the node has accepted it. NATS calls
// it.
func (s *Shard) onStart(m *natsio.Msg) {
	o, err := wire.Decode[wire.StartOrder](m.Data)
	if err == nil {
		err = s.accept(o)
	}
	ack := wire.Ack{OK: err == nil}
	if err != nil {
		ack.Reason = err.Error()
	}
	s.respond(m, ack)
}

// accept starts the rank of an order, and returns without waiting for it. Repeating an order whose
// rank runs changes nothing, since the leader repeats those that were not answered. A node that is
// busy, stopping or being drained refuses, as it does an order for an attempt that it has had.
func (s *Shard) accept(o wire.StartOrder) error {
	if err := s.checkOrder(o); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	id, attempt := o.Plan.Job, o.Plan.Attempt
	if w := s.work; w != nil {
		if w.isAttempt(id, attempt) && w.order.Rank == o.Rank {
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
	// A repeated order may arrive after its rank has ended: the rank must not run twice.
	if s.last.Plan.Job == id && s.last.Plan.Attempt >= attempt {
		return fmt.Errorf("shard %s has had attempt %d of job %s already", s.cfg.Name,
			s.last.Plan.Attempt, id)
	}

	s.last = o
	w := &work{order: o, returned: make(chan struct{})}
	w.meter.begin(s.find(o.Plan.Spec.Model).info, o.Plan, s.sentBytes())
	// The end of the shard's context does not end the rank: Close does, after saying goodbye.
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(s.ctx))
	s.work = w
	s.links.interrupt()
	s.wg.Go(func() { s.run(w) })
	context.AfterFunc(w.ctx, func() { s.fence(w) })
	return nil
}

// checkOrder refuses an order that this shard cannot carry out. A leader has checked the same
// before, but anyone who reaches the coordinators' NATS can send an order.
func (s *Shard) checkOrder(o wire.StartOrder) error {
	p := o.Plan
	if err := s.checkMembers(o); err != nil {
		return fmt.Errorf("shard %s refuses the order: %w", s.cfg.Name, err)
	}
	m, err := s.usable().Choose(p.Spec.Model)
	if err == nil {
		err = m.CheckSpec(p.Spec)
	}
	if err != nil {
		return fmt.Errorf("shard %s refuses the order: %w", s.cfg.Name, err)
	}

	if err := plan.Check(m, p.Spec, p.Mesh); err != nil {
		return fmt.Errorf("shard %s refuses the order: mesh is %s; allowed: %w", s.cfg.Name, p.Mesh,
			err)
	}
	if n := p.Spec.Threads; n != 0 && n != s.dev.Threads() {
		return fmt.Errorf("threads: %d is not what shard %s runs with: %d", n, s.cfg.Name,
			s.dev.Threads())
	}
	return nil
}

// checkMembers wants an order for this node, and, in a locked cluster, a key for what ranks send
// each other, and members that have identities.
func (s *Shard) checkMembers(o wire.StartOrder) error {
	if own := o.Members[o.Rank].Node; own != s.id {
		return fmt.Errorf("rank %d is on node %.64s, and this one is %s", o.Rank, own, s.id)
	}
	if s.nc.identity != "" && o.Key.IsZero() {
		return errNoKey
	}

	for i, m := range o.Members {
		if (m.Identity != "") != (s.nc.identity != "") {
			return fmt.Errorf("identity of rank %d is %.64q; allowed: one in a locked cluster, none in "+
				"an open one", i, m.Identity)
		}
	}
	return nil
}

// onStop takes an order to stop or to yield; one for an attempt that does not run here is answered
// and ignored. NATS calls it.
func (s *Shard) onStop(m *natsio.Msg) {
	o, err := wire.Decode[wire.Stop](m.Data)
	if err != nil {
		s.respond(m, wire.Ack{Reason: err.Error()})
		return
	}

	// The answer means that the order has arrived, not that the rank has stopped: its last report, or
	// the next heartbeat, says that.
	if w := s.current(); w != nil && w.isAttempt(o.Job, o.Attempt) {
		switch {
		case o.Yield:
			w.yield.request()
		case o.Cancel:
			w.cancel(engine.ErrCancelled)
		default:
			w.cancel(errNotLive)
		}
	}
	s.respond(m, wire.Ack{OK: true})
}

// respond answers an order. Without the answer the leader repeats it.
func (s *Shard) respond(m *natsio.Msg, a wire.Ack) {
	if err := m.Respond(wire.Encode(a)); err != nil {
		s.log.Warn("cannot answer an order", "error", err)
	}
}
