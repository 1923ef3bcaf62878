package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/wire"
)

// live keeps the node registered: it registers, then sends heartbeats until it is told to register
// again or the shard is closed.
func (s *Shard) live() {
	for s.ctx.Err() == nil {
		w, err := s.register()
		if err != nil {
			s.log.Debug("no coordinator answers", "error", err)
			s.pause(retryPause)
			continue
		}
		if !w.Accepted {
			if w.Final {
				s.fail(fmt.Errorf("the coordinator refused shard %s: %s", s.cfg.Name, w.Reason))
				return
			}
			s.log.Warn("the coordinator refuses this shard for now", "reason", w.Reason)
			s.pause(max(w.Interval, retryPause))
			continue
		}
		s.welcome(w)
		s.heartbeats(w.Interval)
	}
}

func (s *Shard) register() (wire.Welcome, error) {
	r := wire.Registration{Node: s.id, Name: s.cfg.Name, ProcessID: s.cfg.process.name(s.id),
		Model: s.info, Device: s.dev.Name(), Arithmetic: s.dev.Arithmetic(), Threads: s.dev.Threads(),
		Speed: s.rated, Memory: s.room, Route: s.link.route(), Capabilities: formats(),
		Version: s.cfg.Version, Uptime: time.Since(s.started)}
	if w := s.current(); w != nil {
		r.Work = w.name()
	}
	return ask[wire.Welcome](s.ctx, s.nc, wire.SubjectRegister, r)
}

func (s *Shard) welcome(w wire.Welcome) {
	s.log.Info("registered", "coordinator", w.Leader, "node", s.id)
	if err := s.link.setRoutes(w.Routes); err != nil {
		s.log.Error("cannot join the data plane", "error", err)
	}
	if at := s.current(); w.Stop && at != nil {
		at.cancel(errNotLive)
	}
	s.once.Do(func() { close(s.registered) })
}

// heartbeats returns when the node has to register again.
func (s *Shard) heartbeats(interval time.Duration) {
	if interval <= 0 {
		interval = 500 * time.Millisecond
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		w, orders := s.current(), 0
		if w != nil {
			orders = w.yield.seen()
		}
		p, err := ask[wire.Pulse](s.ctx, s.nc, wire.SubjectHeartbeat, s.heartbeat(w))
		if err == nil {
			s.full.Store(p.Full)
			s.stuck.Store(p.Stuck)
		}
		switch {
		case err != nil:
			s.log.Debug("a heartbeat was not answered", "error", err)
		case p.Register:
			return
		case w == nil || w != s.current(): // it says nothing of what began meanwhile
		case p.Stop:
			w.cancel(errNotLive)
		case p.Cancel:
			w.cancel(engine.ErrCancelled)
		default:
			w.yield.pulse(p.Yield, orders)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.beat:
		}
	}
}

func (s *Shard) heartbeat(w *work) wire.Heartbeat {
	h := wire.Heartbeat{Node: s.id, State: wire.Idle, RSS: rss(), Speed: s.speed.mean()}
	if w != nil {
		h.State, h.Work = wire.Busy, w.name()
		h.Stage, h.Step = w.at()
		w.activity.watch(s.dev, s.decode)
		h.Computing = w.activity.computing()
	}
	return h
}

// beatNow sends the next heartbeat without waiting for the interval.
func (s *Shard) beatNow() {
	select {
	case s.beat <- struct{}{}:
	default:
	}
}

func (s *Shard) onRoutes(m *natsio.Msg) {
	r, err := wire.Decode[wire.Routes](m.Data)
	if err == nil {
		err = s.link.setRoutes(r.Routes)
	}
	if err != nil {
		s.log.Error("cannot follow the data plane", "error", err)
	}
}

func (s *Shard) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
	case <-t.C:
	}
}

// ask sends a request to the leader and reads its answer.
func ask[T any](ctx context.Context, nc *natsio.Conn, subject string, m any) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var answer T
	msg, err := nc.RequestWithContext(ctx, subject, wire.Encode(m))
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("cannot read the answer on %s: %w", subject, err)
	}
	return answer, nil
}
