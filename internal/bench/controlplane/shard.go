package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// Times of package shard, so that what is asked for again comes as often as in a real cluster.
const (
	requestTime = 2 * time.Second
	retryPause  = 250 * time.Millisecond
)

// shard is a process that does what package shard does, as far as coordinators can see. It is
// written anew because package shard computes: a thousand of those would not fit into a machine,
// and what they take of its cores would be taken for the coordinators' share.
type shard struct {
	f     *fleet
	index int
	id    job.NodeID
	// Of its host, in a locked cluster.
	identity string
	conn     *nats.Conn

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// Of one: a heartbeat is due at once.
	due chan struct{}

	mu sync.Mutex
	// Nil: idle.
	work *rank
	// The latest order that was accepted.
	last  wire.Work
	ended []wire.Ended
	// Device time of ranks that have ended.
	total time.Duration
	// That has welcomed it last.
	leader string
	// Once it is needed.
	store artifact.Store
}

// boot starts the process of a shard on a connection. It registers after a while.
func (f *fleet) boot(index int, conn *nats.Conn, after time.Duration) (*shard, error) {
	s := &shard{f: f, index: index, conn: conn, due: make(chan struct{}, 1),
		identity: f.identityOf(index)}
	s.id = wire.NewNodeID(s.identity, rand.Text()[:16])
	s.ctx, s.cancel = context.WithCancel(f.ctx)

	// It listens before it registers: the first order may come before the welcome is read.
	for subject, h := range map[string]nats.MsgHandler{
		wire.SubjectStart(s.identity, s.id): s.onStart,
		wire.SubjectStop(s.identity, s.id):  s.onStop,
		wire.SubjectRoutes:                  s.onRoutes,
	} {
		sub, err := conn.Subscribe(subject, h)
		if err != nil {
			s.die()
			return nil, fmt.Errorf("cannot listen for orders: %w", err)
		}
		//nolint:errcheck // what is beyond is dropped, as if it were lost
		sub.SetPendingLimits(pendingMax, pendingBytesMax)
	}

	s.wg.Go(func() {
		s.pause(after)
		s.live()
	})
	return s, nil
}

// What may wait for a shard: a thousand of them share this machine's memory.
const pendingMax, pendingBytesMax = 64, 1 << 20

// die ends the process without a word, as kill -9 does.
func (s *shard) die() {
	s.mu.Lock()
	s.cancel() // it accepts no order from here on
	s.mu.Unlock()
	s.conn.Close()
	s.wg.Wait()
}

// objects opens the store, as package shard does: in a locked cluster it is the coordinators' desk.
func (s *shard) objects(ctx context.Context) (_ artifact.Store, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.store != nil:
	case s.identity != "":
		s.store = artifact.NewRemote(s.conn,
			func(op string) string { return wire.SubjectObject(op, s.identity) })
	default:
		s.store, err = artifact.Bind(ctx, s.conn, wire.Bucket)
	}
	return s.store, err
}

// ask sends a request to the leader and times its answer.
func ask[T any](s *shard, kind, subject string, m any) (T, error) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTime)
	defer cancel()

	// What ends because the shard dies was not measured.
	start := time.Now()
	msg, err := s.conn.RequestWithContext(ctx, wire.Said(subject, s.identity), wire.Encode(m))
	if s.ctx.Err() == nil {
		s.f.note(kind, time.Since(start), err)
	}
	if err != nil {
		var none T
		return none, err
	}
	return wire.Decode[T](msg.Data)
}

// live registers and sends heartbeats, until the process dies.
func (s *shard) live() {
	for s.ctx.Err() == nil {
		// The leader may be busy, or not elected yet; a refusal says for how long not to ask.
		w, err := ask[wire.Welcome](s, kindRegister, wire.SubjectRegister, s.registration())
		if err != nil || !w.Accepted {
			s.f.refused(w.Reason)
			s.pause(max(w.Interval, retryPause))
			continue
		}

		s.mu.Lock()
		s.leader = w.Leader
		at := s.work
		s.mu.Unlock()
		if w.Stop && at != nil {
			at.cancel(errNotLive)
		}
		s.heartbeats(w.Interval)
	}
}

// heartbeats returns when the shard has to register again, or dies.
func (s *shard) heartbeats(interval time.Duration) {
	tick := time.NewTicker(max(interval, time.Millisecond))
	defer tick.Stop()
	for {
		h, at := s.heartbeat()
		p, err := ask[wire.Pulse](s, kindHeartbeat, wire.SubjectHeartbeat, h)
		// A heartbeat without an answer is made up for by the next one, as the leader allows for.
		if err == nil {
			if p.Register {
				return
			}
			s.settle(p.Settled)
			if at != nil {
				at.obey(p)
			}
		}

		// A heartbeat that is due at once tells of a rank that has begun or ended.
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.due:
		}
	}
}

// settle forgets ranks whose usage is recorded.
func (s *shard) settle(all []wire.Work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = slices.DeleteFunc(s.ended, func(e wire.Ended) bool {
		return slices.Contains(all, e.Work)
	})
}

// registration says what the shard is: a GPU of a host of a rack, with links between.
func (s *shard) registration() wire.Registration {
	// All of it is said at each registration: leaders keep nodes in memory alone.
	host := s.index / s.f.cfg.PerHost
	r := wire.Registration{Node: s.id, Name: fmt.Sprintf("shard-%d", s.index),
		ProcessID: string(s.id), Model: s.f.model, Loaded: []string{s.f.model.Name},
		Device: "none (it computes nothing)", Arithmetic: "none", Threads: 1, Speed: deviceSpeed,
		Memory: deviceMemory, Host: fmt.Sprintf("host-%d", host),
		Rack:  fmt.Sprintf("rack-%d", host/hostsOfRack),
		Rates: topology.Rates{Process: 200e9, Host: 50e9, Net: 25e9, Far: 12.5e9},
		Route: fmt.Sprintf("nats-route://10.%d.%d.%d:6222", host>>8&255, host&255, s.index%256),

		DTypes: []string{"bf16", "fp32"}, Version: "bench", Uptime: time.Minute}

	// By its rank the shard is recognised by a leader that is new.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work != nil {
		r.Work = s.work.name()
	}
	return r
}

// What a shard says of itself, in operations a second, bytes and hosts: about an H100, and racks of
// eight hosts.
const (
	deviceSpeed  = 400e12
	deviceMemory = 80 << 30
	hostsOfRack  = 8
)

// heartbeat says how the shard is, and returns its rank, nil if it has none.
func (s *shard) heartbeat() (wire.Heartbeat, *rank) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := wire.Heartbeat{Node: s.id, State: wire.Idle, RSS: deviceMemory / 8,
		Loaded: []string{s.f.model.Name}, Ended: slices.Clone(s.ended), Metered: s.total}
	if w := s.work; w != nil {
		h.State, h.Work, h.Usage = wire.Busy, w.name(), w.usage()
		h.Stage, h.Step = w.at()
		h.Metered += h.Usage.Time
	}
	return h, s.work
}

// onRoutes counts what the leader publishes. There is no data plane, and a thousand machines that
// each read a list of a thousand would be the load of this one.
func (s *shard) onRoutes(m *nats.Msg) { s.f.routes.Add(int64(len(m.Data))) }

// onStart takes an order to start a rank.
func (s *shard) onStart(m *nats.Msg) {
	o, err := wire.Decode[wire.StartOrder](m.Data)
	if err == nil {
		err = s.accept(o)
	}
	answer(m, err)
}

// answer acknowledges an order, or says why it is refused.
func answer(m *nats.Msg, err error) {
	ack := wire.Ack{OK: err == nil}
	if err != nil {
		ack.Reason = err.Error()
	}
	m.Respond(wire.Encode(ack)) //nolint:errcheck // the leader repeats what was not answered
}

// accept starts the rank of an order, as package shard does.
func (s *shard) accept(o wire.StartOrder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := wire.Work{Job: o.Plan.Job, Attempt: o.Plan.Attempt, Rank: o.Rank}
	switch {
	case s.work != nil && s.work.name() == name:
		return nil
	case s.work != nil:
		return errors.New("it still works")
	case s.ctx.Err() != nil:
		return errors.New("it is stopping")
	case s.last.Job == name.Job && s.last.Attempt >= name.Attempt:
		return errors.New("it has had this attempt already")
	}

	// It counts as the shard's from here on, so the next heartbeat says so even if no goroutine of the
	// rank has run yet.
	s.last = name
	w := &rank{s: s, order: o, began: time.Now(), stage: job.StageText}
	w.ctx, w.cancel = context.WithCancelCause(s.ctx)
	s.work = w
	if o.Rank == 0 && o.Plan.Attempt == 1 {
		s.f.ordered(o.Plan.Job)
	}
	s.wg.Go(w.run)
	return nil
}

// onStop takes an order to stop, to cancel or to yield.
func (s *shard) onStop(m *nats.Msg) {
	o, err := wire.Decode[wire.Stop](m.Data)
	if err == nil {
		s.mu.Lock()
		w := s.work
		s.mu.Unlock()

		// An order that comes late, when the shard has another rank, is acknowledged and does nothing.
		if w != nil && w.order.Plan.Job == o.Job && w.order.Plan.Attempt == o.Attempt {
			w.obey(wire.Pulse{Stop: !o.Cancel && !o.Yield, Cancel: o.Cancel, Yield: o.Yield})
		}
	}
	answer(m, err)
}

// finished makes the shard idle again.
func (s *shard) finished(w *rank) {
	s.mu.Lock()

	// Device time is told with heartbeats until the leader says that it is recorded.
	u := w.usage()
	s.work, s.total = nil, s.total+u.Time
	s.ended = append(s.ended, wire.Ended{Work: w.name(), Usage: u})
	s.ended = s.ended[max(0, len(s.ended)-wire.EndedLimit):]
	s.mu.Unlock()
	s.beatNow()
}

// beatNow makes the next heartbeat due at once.
func (s *shard) beatNow() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// pause waits, or until the process dies.
func (s *shard) pause(d time.Duration) { pause(s.ctx, d) }

// pause is client.Pause for those who look at ctx anyway.
func pause(ctx context.Context, d time.Duration) {
	_ = client.Pause(ctx, d)
}
