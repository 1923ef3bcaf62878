package coord

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
	"github.com/longtake/longtake/internal/wire"
)

// stopTime bounds a stop order; heartbeats repeat what it did not reach.
const stopTime = time.Second

// start orders every rank's node to run its part. Unless all acknowledge, the attempt is lost.
func (l *leader) start(p job.Plan, nodes []*node) {
	members := make([]wire.Member, len(nodes))
	for i, n := range nodes {
		members[i] = wire.Member{Node: n.reg.Node, Name: n.reg.Name, Route: n.reg.Route}
	}
	var mu sync.Mutex
	left := len(nodes)
	for rank, n := range nodes {
		order := wire.StartOrder{Plan: p, Rank: rank, Members: members}
		l.out.request(wire.SubjectStart(n.reg.Node), order, l.c.cfg.Timing.Order, func(err error) {
			if err != nil {
				l.mu.Lock()
				l.blame(p.Job, n.reg.Node)
				l.mu.Unlock()
				l.abandon(p, fmt.Sprintf("node %s (rank %d) did not take the order to start: %v",
					n.reg.Name, rank, err))
				return
			}
			l.began(n.reg.Node, wire.Work{Job: p.Job, Attempt: p.Attempt, Rank: rank})
			mu.Lock()
			left--
			all := left == 0
			mu.Unlock()
			if all {
				l.started(p)
			}
		})
	}
}

// started notes that all ranks of a plan are at work.
func (l *leader) started(p job.Plan) {
	l.mu.Lock()
	if l.paces[p.Job].Attempt < p.Attempt {
		now := l.c.cfg.Clock()
		l.paces[p.Job] = sched.Pace{Attempt: p.Attempt, Placed: now, At: now}
	}
	l.mu.Unlock()
	l.sign(p.Nodes[0], wire.Work{Job: p.Job, Attempt: p.Attempt})
}

// began notes that a node took an order, before its next heartbeat says so: if the attempt is lost
// at once, the node is not idle yet.
func (l *leader) began(id job.NodeID, w wire.Work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[id]; n != nil && n.beat.State == wire.Idle {
		n.beat.State, n.beat.Work = wire.Busy, w
	}
}

// abandon gives up an attempt that did not start, if it is still live.
func (l *leader) abandon(p job.Plan, reason string) {
	r, live := l.live(p.Nodes[0], wire.Work{Job: p.Job, Attempt: p.Attempt})
	if live && l.ctx.Err() == nil {
		l.lose(r, job.Setback{Reason: reason})
	}
}

// outbox is how the leader reaches nodes.
type outbox interface {
	// publish sends m to all nodes.
	publish(subject string, m any) error
	// request sends an order, without waiting, and calls done once with why it was not acknowledged.
	request(subject string, order any, limit time.Duration, done func(error))
}

// natsOutbox sends over the coordinators' NATS.
type natsOutbox struct{ l *leader }

func (o natsOutbox) publish(subject string, m any) error {
	return o.l.c.broker.conn.Publish(subject, wire.Encode(m))
}

func (o natsOutbox) request(subject string, order any, limit time.Duration, done func(error)) {
	o.l.spawn(func() { done(o.ask(subject, order, limit)) })
}

func (o natsOutbox) ask(subject string, order any, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(o.l.ctx, limit)
	defer cancel()
	m, err := o.l.c.broker.conn.RequestWithContext(ctx, subject, wire.Encode(order))
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	ack, err := wire.Decode[wire.Ack](m.Data)
	if err != nil {
		return err
	}
	if !ack.OK {
		return fmt.Errorf("refused: %.500s", ack.Reason)
	}
	return nil
}

// stopAll orders the nodes of a plan to stop, without waiting for them. A cancelled job ends once
// one of its ranks says that it has stopped.
func (l *leader) stopAll(p job.Plan, cancel bool, reason string) {
	order := wire.Stop{Job: p.Job, Attempt: p.Attempt, Cancel: cancel, Reason: reason}
	for _, id := range p.Nodes {
		l.mu.Lock()
		there := l.nodes[id] != nil
		l.mu.Unlock()
		if there {
			l.order(wire.SubjectStop(id), order)
		}
	}
}

// order sends a stop order without waiting for an answer.
func (l *leader) order(subject string, order wire.Stop) {
	l.out.request(subject, order, stopTime, func(err error) {
		if err != nil {
			l.c.log.Warn("stop order", "subject", subject, "job", order.Job, "error", err)
		}
	})
}
