package coord

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/wire"
)

// term is what belongs to one term as the leader. The loop alone touches it.
type term struct {
	ctx    context.Context // ends with the term; orders and looks into the store do, too
	cancel context.CancelFunc
	subs   []*nats.Subscription
	desk   *nats.Subscription // what nodes ask for at the desk; nil: there is none
	number uint64             // Raft's, of the term in which the barrier has passed
	// listening is set once nodes can be heard, which is when the coordinator is ready.
	listening bool
	// heard is until when all that nodes have said was handled.
	heard time.Time
}

// followLeadership follows Raft's leadership and posts ticks, until ctx or the coordinator ends. It
// waits for Raft and NATS, so that the loop need not.
func (c *Coordinator) followLeadership(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Timing.Tick)
	defer tick.Stop()

	// However it ends, nothing may be left that waits for Raft.
	defer func() {
		if c.Err() != nil { // Raft may not answer any more; what waits for it has to go on
			c.cons.stop()
			c.loop.post(c.resign)
		}
	}()

	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			return
		case <-c.cons.raft.LeaderCh():
			c.event(c.resignIfOver)
			c.beginTerm(ctx)
		case <-tick.C:
			c.beginTerm(ctx)
			now := c.cfg.Clock()
			c.event(func() { c.tick(now) })
		}
	}
}

// resignIfOver resigns unless this coordinator still leads in the term that it began; in the loop.
// A tick may have seen the election before Raft's channel told of it.
func (c *Coordinator) resignIfOver() {
	r := c.cons.raft
	if c.term == nil || r.State() != raft.Leader || r.CurrentTerm() != c.term.number {
		c.resign()
	}
}

// event posts an event and waits until it was handled, or the coordinator ends.
func (c *Coordinator) event(f func()) {
	handled := make(chan struct{})
	if !c.loop.post(func() { defer close(handled); f() }) {
		return
	}
	select {
	case <-handled:
	case <-c.ended:
	case <-c.loop.done:
	}
}

// beginTerm makes this coordinator act as the leader, if Raft says so and it does not yet.
func (c *Coordinator) beginTerm(ctx context.Context) {
	if c.leads() || c.cons.raft.State() != raft.Leader {
		return
	}
	elected := c.cons.raft.CurrentTerm()
	if err := c.cons.raft.Barrier(c.cfg.Timing.Apply).Error(); err != nil {
		c.log.Warn("cannot lead yet", "error", err)
		return
	}
	t := &term{heard: c.cfg.Clock(), number: elected}
	t.ctx, t.cancel = context.WithCancel(ctx)
	c.event(func() {
		if c.cons.raft.CurrentTerm() != elected || c.core.Err() != nil {
			return // the barrier was for another term
		}
		c.term = t
		c.core.Lead()
	})

	// NATS may take its time, so nodes are listened to outside of the loop.
	subs, err := c.listen()
	desk, deskErr := c.listenForObjects()
	err = cmp.Or(err, deskErr)
	c.event(func() {
		t.subs, t.desk = subs, desk
		switch {
		case c.term != t: // it was over before
			t.end()
		case err != nil:
			c.log.Warn("cannot lead yet", "error", err)
			c.resign()
		default:
			t.listening = true
			c.log.Info("leading", "id", c.cfg.ID)
		}
	})
}

// end stops listening and lets go of what is under way. Its results come, but do not count.
func (t *term) end() {
	t.cancel()
	for _, s := range t.subs {
		s.Unsubscribe() //nolint:errcheck // fails only when the connection is closed already
	}
	if t.desk != nil {
		t.desk.Unsubscribe() //nolint:errcheck // likewise
	}
}

// resign ends the term, if there is one; in the loop.
func (c *Coordinator) resign() {
	c.core.Resign()
	if c.term != nil {
		c.term.end()
		c.term = nil
		c.hub.closeAll()
	}
}

// tick does the leader's periodic work; in the loop. All messages that were posted before it were
// handled by then. Those that NATS has still to post are older than it, too: while there are any,
// nodes are judged by what was known when there were none.
func (c *Coordinator) tick(now time.Time) {
	if c.term == nil {
		return
	}
	if !c.term.behind() {
		c.term.heard = now
	}
	c.core.Tick(c.term.heard)
	c.noteRefused(now)
	c.promote()
}

// behind reports whether NATS has messages of nodes that were not posted yet.
func (t *term) behind() bool {
	for _, s := range t.subs {
		if n, _, err := s.Pending(); err == nil && n > 0 {
			return true
		}
	}
	return false
}

// leads reports whether this coordinator leads. It must not be called in the loop.
func (c *Coordinator) leads() (yes bool) {
	c.loop.read(func() { yes = c.term != nil })
	return yes
}

// listen subscribes to all that nodes say to the leader, and to what other coordinators say of
// their disks. NATS calls back on a goroutine for each subject; messages are read there, and
// handled in the loop.
func (c *Coordinator) listen() (subs []*nats.Subscription, err error) {
	subscribe := func(subject string, f nats.MsgHandler) {
		if err != nil || subject == "" {
			return
		}
		var s *nats.Subscription
		if s, err = c.broker.conn.Subscribe(subject, f); err != nil {
			err = fmt.Errorf("cannot subscribe to %s: %w", subject, err)
			return
		}
		subs = append(subs, s)
	}

	for _, kind := range core.Messages() {
		subscribe(c.heardOn(kind), func(m *nats.Msg) {
			from, ok := c.speaker(m)
			if !ok {
				return
			}
			if in, ok := decode(c, m, kind.Decode); ok {
				c.loop.post(func() { c.handle(from, m, in) })
			}
		})
	}

	subscribe(wire.SubjectDisk, func(m *nats.Msg) {
		if in, ok := decode(c, m, wire.Decode[wire.Disk]); ok {
			c.space.hear(in)
			c.audit.hearRefused(in)
			c.respond(m, wire.Ack{OK: true})
		}
	})
	if err == nil {
		err = c.broker.conn.Flush()
	}
	return subs, err
}

// decode reads a message. One that cannot be read is refused, with an answer that reads as a
// refusal in every message type.
func decode[T any](c *Coordinator, m *nats.Msg, read func([]byte) (T, error)) (in T, ok bool) {
	in, err := read(m.Data)
	if err != nil {
		c.refusals.note(refusedUnreadable, "bad message", "subject", m.Subject, "error", err)
		c.respond(m, wire.Ack{Reason: err.Error(), Final: true})
	}
	return in, err == nil
}

// respond answers a message, if an answer is wanted. NATS buffers it, so that the loop does not
// wait.
func (c *Coordinator) respond(m *nats.Msg, a any) {
	if m.Reply == "" {
		return
	}
	if err := m.Respond(wire.Encode(a)); err != nil {
		c.log.Warn("cannot answer", "subject", m.Subject, "error", err)
	}
}
