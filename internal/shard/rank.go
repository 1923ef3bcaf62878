package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// rankHost is the engine's Host for the rank that a node runs: it passes on to the leader what the
// rank reports, and to the rank what the leader has said. It has no state of its own, since the
// engine calls it from any goroutine.
type rankHost struct {
	s *Shard
	w *work
}

var _ interface {
	engine.Host
	engine.Previewer
	engine.Supervisor
	engine.Pacer
	engine.MemoryHost
} = rankHost{}

// Progress implements engine.Host. Only rank 0's goes to the leader; heartbeats carry that of the
// others.
func (h rankHost) Progress(p job.Progress) {
	h.w.mu.Lock()
	h.w.progress = p
	h.w.mu.Unlock()
	h.w.activity.progressed()
	h.w.meter.progressed(p)
	if h.w.order.Rank != 0 {
		return
	}

	// Nobody acknowledges progress: the next report makes up for one that was lost.
	report := wire.Encode(wire.Report{Node: h.s.id, Progress: p})
	if err := h.s.nc.Publish(wire.Said(wire.SubjectProgress, h.s.nc.identity), report); err != nil {
		h.s.log.Warn("cannot report progress", "error", err)
	}
}

// Warn implements engine.Host.
func (h rankHost) Warn(what string, err error) {
	p := h.w.order.Plan
	h.s.log.Warn(what, "job", p.Job, "attempt", p.Attempt, "error", err)
}

// ShouldYield implements engine.Host with what orders and answers to heartbeats have said.
func (h rankHost) ShouldYield() bool { return h.w.yield.isAsked() }

// SaveCheckpoint implements engine.Host. The checkpoint counts once Raft has it.
func (h rankHost) SaveCheckpoint(ctx context.Context, c job.Checkpoint) error {
	return h.tell(ctx, wire.SubjectSaved, wire.Saved{Node: h.s.id, Work: h.w.name(), Checkpoint: c})
}

// KeepPart implements engine.Host. The part counts once Raft has it.
func (h rankHost) KeepPart(ctx context.Context, name string, o job.Object) error {
	return h.tell(ctx, wire.SubjectKept,
		wire.Kept{Node: h.s.id, Work: h.w.name(), Name: name, Object: o})
}

// PublishPreview implements engine.Previewer. The leader keeps the latest preview of each job.
func (h rankHost) PublishPreview(ctx context.Context, step int, picture []byte) error {
	return h.tell(ctx, wire.SubjectPreview,
		wire.Preview{Node: h.s.id, Work: h.w.name(), Step: step, Data: picture})
}

// tell sends the leader a message once, and waits for its acknowledgement. engine.ErrRefused means
// that sending it again would not help; without a leader the error is another one.
func (h rankHost) tell(ctx context.Context, subject string, m any) error {
	a, err := ask[wire.Ack](ctx, h.s.nc, subject, m)
	switch {
	case err == nil && a.Final:
		err = fmt.Errorf("%w: %s", engine.ErrRefused, a.Reason)
	case err == nil && !a.OK:
		err = errors.New(a.Reason)
	}
	return err
}

// StoreFull implements engine.Host with what the leader has last said of the object store.
func (h rankHost) StoreFull(final bool) bool {
	return h.s.storeStuck.Load() || h.s.storeFull.Load() && !final
}

// Computed implements engine.Supervisor: any layer is a sign of progress.
func (h rankHost) Computed(float64) { h.w.activity.progressed() }

// Waiting implements engine.Supervisor.
func (h rankHost) Waiting() (done func()) { return h.w.activity.wait() }

// Measured implements engine.Supervisor: passes are what the device's speed is measured by.
func (h rankHost) Measured(operations float64, took time.Duration) {
	h.s.speed.add(operations, took)
}

// AfterStep implements engine.Pacer: tests hold ranks at their step boundaries.
func (h rankHost) AfterStep(ctx context.Context, done int) {
	if h.s.cfg.afterStep != nil {
		h.s.cfg.afterStep(ctx, done)
	}
}

// ReleaseMemory implements engine.MemoryHost as the program has asked for.
func (h rankHost) ReleaseMemory() {
	if h.s.cfg.ReleaseMemory != nil {
		h.s.cfg.ReleaseMemory()
	}
}
