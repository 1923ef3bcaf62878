package shard

import (
	"context"
	"errors"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/wire"
)

// deliver repeats a rank's last message until a leader has taken it or refuses it for good, the
// attempt is over, or the shard stops.
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

// reportFirst tells the leader how a rank ended before the others miss the rank and report that.
func (s *Shard) reportFirst(w *work, err error) {
	s.deliver(w, wire.SubjectFail, s.failure(w, err))
	w.reported = true
}

// failure is the report of a rank that ended with an error. Final says that another attempt would
// end alike, Peer which rank is to blame (-1: none).
func (s *Shard) failure(w *work, err error) wire.Failure {
	f := wire.Failure{Node: s.id, Work: w.name(), Peer: -1, Reason: err.Error(), Usage: s.usage(w),
		Cancelled: errors.Is(err, engine.ErrCancelled), Yielded: errors.Is(err, engine.ErrYielded)}
	var damaged *engine.DamagedError
	f.Damaged = errors.As(err, &damaged)
	var peer *collective.PeerError
	if errors.As(err, &peer) {
		f.Peer = peer.Rank
	}
	if f.Final = w.ctx.Err() == nil && engine.Permanent(err); f.Final {
		f.Reason += remedy(w, err)
	}
	return f
}

// remedy says of numbers that are not finite what is known of the weights, and what may help.
func remedy(w *work, err error) string {
	if _, values := errors.AsType[*tensor.NotFiniteError](err); !values {
		return ""
	}
	if w.order.Plan.Spec.DType != compute.FP32.String() {
		return "; the weights were finite when they were loaded: dtype fp32 may have room for it"
	}
	return "; the weights were finite when they were loaded: the model's numbers outgrew their " +
		"type, or this machine miscalculates"
}
