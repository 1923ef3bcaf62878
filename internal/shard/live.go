package shard

import (
	"cmp"
	"fmt"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/wire"
)

// heartbeatDefault is the interval of heartbeats where a coordinator names none.
const heartbeatDefault = 500 * time.Millisecond

// live keeps the node registered: it registers, then sends heartbeats until a leader, which may be
// a new one, tells it to register again, or the shard is closed. It has a goroutine of its own, so
// that nothing that a rank does delays a heartbeat.
func (s *Shard) live() {
	refused := "" // why, as the log has said already
	for s.ctx.Err() == nil {
		w, err := s.register()
		if err != nil {
			s.nc.unheard(err)
			s.pause(retryPause)
			continue
		}

		if !w.Accepted {
			if w.Final {
				s.fail(fmt.Errorf("the coordinator refused shard %s: %s", s.cfg.Name, w.Reason))
				return
			}
			if w.Reason != refused {
				s.log.Warn("the coordinator refuses this shard for now", "reason", w.Reason)
			}
			refused = w.Reason
			s.pause(max(w.Interval, retryPause))
			continue
		}
		refused = ""
		s.welcome(w)
		s.heartbeats(w.Interval)
	}
}

// register tells the leader what the node is, and which rank is at work on it.
func (s *Shard) register() (wire.Welcome, error) {
	models := s.usable()
	ready, _, _ := s.loaded()
	r := wire.Registration{Node: s.id, Name: s.cfg.Name, ProcessID: s.cfg.Process.id(s.id),
		Model: models[0], More: models[1:], Loaded: ready, Broken: s.brokenModels(),
		Device: s.dev.Name(), Arithmetic: s.dev.Arithmetic(), Threads: s.dev.Threads(),
		Speed: s.ratedSpeed, Memory: s.capacity.Load(), Route: s.link.route(), Capabilities: formats(),
		Host: cmp.Or(s.cfg.Host, machineName()), Rack: s.cfg.Rack, Rates: s.cfg.Rates,
		Delays: s.cfg.Delays, Echoes: true,
		DTypes:  dtypes(s.dev),
		Version: s.cfg.Version, Uptime: time.Since(s.started)}

	if w := s.current(); w != nil {
		r.Work = w.name()
	}
	return ask[wire.Welcome](s.ctx, s.nc, wire.SubjectRegister, r)
}

// welcome carries out what the leader answers to a registration that it accepts.
func (s *Shard) welcome(w wire.Welcome) {
	s.log.Info("registered", "coordinator", w.Leader, "node", s.id)
	for _, why := range w.Refused {
		s.log.Error("the coordinator gives this shard no jobs of a model", "reason", why)
	}
	if err := s.link.setRoutes(w.Routes); err != nil {
		s.log.Error("cannot join the data plane", "error", err)
	}

	// A new leader may find that the attempt was lost while there was none.
	if at := s.current(); w.Stop && at != nil {
		at.cancel(errNotLive)
	}
	s.registeredOnce.Do(func() { close(s.registered) })
}

// heartbeats sends one every interval, and at once when beatNow asks for it. It returns when the
// node has to register again, or the shard ends.
func (s *Shard) heartbeats(interval time.Duration) {
	if interval <= 0 {
		interval = heartbeatDefault
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		// An order to yield that comes while the heartbeat is on its way is newer than its answer.
		w, orders := s.current(), 0
		if w != nil {
			orders = w.yield.ordersSeen()
		}
		p, err := ask[wire.Pulse](s.ctx, s.nc, wire.SubjectHeartbeat, s.heartbeat(w))
		if err != nil {
			s.nc.unheard(err)
		} else {
			s.storeFull.Store(p.Full)
			s.storeStuck.Store(p.Stuck)
			s.meter.settle(p.Settled)
			if p.Register || s.registerAgain.Swap(false) {
				return
			}
			// The answer says nothing of a rank that began meanwhile.
			if w != nil && w == s.current() {
				w.obey(p, orders)
			}
			if p.Probe != nil {
				s.wg.Go(func() { s.probe(*p.Probe) })
			}
		}

		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.beatDue:
		}
	}
}

// obey carries out what the answer to a heartbeat says of the rank at work; so many orders to yield
// had come when the heartbeat was sent.
func (w *work) obey(p wire.Pulse, ordersSeen int) {
	switch {
	case p.Stop:
		w.cancel(errNotLive)
	case p.Cancel:
		w.cancel(engine.ErrCancelled)
	default:
		w.yield.update(p.Yield, ordersSeen)
	}
}

// heartbeat says how the node is, and how far a rank at work is.
func (s *Shard) heartbeat(w *work) wire.Heartbeat {
	h := wire.Heartbeat{Node: s.id, State: wire.Idle, RSS: rss(), Speed: s.speed.mean(),
		Sent: s.link.sent()}
	h.Loaded, h.Loading, h.LoadTime = s.loaded()
	rates, delays := s.links.measured()
	h.Rates, h.Delays = s.cfg.Rates.Or(rates), s.cfg.Delays.Or(delays)
	h.Ended, h.Metered = s.metered(w)
	if w != nil {
		h.Usage = s.usage(w)
		h.State, h.Work = wire.Busy, w.name()
		h.Stage, h.Step = w.stage()
		w.activity.watch(s.dev, s.decodeDev)
		h.Computing = w.activity.computing()
	}
	return h
}

// beatNow makes the next heartbeat due without waiting for the interval: the leader should know at
// once that the node is busy, or idle.
func (s *Shard) beatNow() {
	select {
	case s.beatDue <- struct{}{}:
	default:
	}
}

// onRoutes takes the routes of all nodes' servers, when a node has come or gone. NATS calls it.
func (s *Shard) onRoutes(m *natsio.Msg) {
	r, err := wire.Decode[wire.Routes](m.Data)
	if err == nil {
		err = s.link.setRoutes(r.Routes)
	}
	if err != nil {
		s.log.Error("cannot follow the data plane", "error", err)
	}
}

// pause waits for a while, or until the shard ends.
func (s *Shard) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
	case <-t.C:
	}
}
