package coord

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/coord/wire"
	"github.com/longtake/longtake/internal/job"
)

// stopTime bounds a stop order; heartbeats repeat what it did not reach.
const stopTime = time.Second

// start orders every rank's node to run its part. Unless all acknowledge, the attempt is lost.
func (l *leader) start(p job.Plan, nodes []*node) {
	members := make([]wire.Member, len(nodes))
	for i, n := range nodes {
		members[i] = wire.Member{Node: n.reg.Node, Name: n.reg.Name, Route: n.reg.Route}
	}
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for rank, n := range nodes {
		wg.Go(func() {
			order := wire.Start{Plan: p, Rank: rank, Members: members}
			errs[rank] = l.request(wire.SubjectStart(n.reg.Node), order, l.c.cfg.Timing.Order)
			if errs[rank] == nil {
				l.began(n.reg.Node, wire.Work{Job: p.Job, Attempt: p.Attempt, Rank: rank})
			}
		})
	}
	wg.Wait()
	for rank, err := range errs {
		if err != nil {
			l.abandon(p, fmt.Sprintf("node %s (rank %d) did not take the order to start: %v",
				nodes[rank].reg.Name, rank, err))
			return
		}
	}
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
		l.lose(r, reason, false)
	}
}

// request sends an order and waits for its acknowledgement.
func (l *leader) request(subject string, order any, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(l.ctx, limit)
	defer cancel()
	m, err := l.c.broker.conn.RequestWithContext(ctx, subject, wire.Encode(order))
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

// stopAll orders the nodes of a plan to stop, without waiting for them.
func (l *leader) stopAll(p job.Plan, boundary bool, reason string) {
	order := wire.Stop{Job: p.Job, Attempt: p.Attempt, Boundary: boundary, Reason: reason}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range p.Nodes {
		if l.nodes[id] == nil {
			continue
		}
		l.spawn(func() {
			if err := l.request(wire.SubjectStop(id), order, stopTime); err != nil {
				l.c.log.Warn("stop order", "node", id, "job", p.Job, "error", err)
			}
		})
	}
}
