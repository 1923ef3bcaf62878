package core

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
	"github.com/longtake/longtake/internal/wire"
)

// stopTime bounds a stop order; heartbeats repeat what it did not reach.
const stopTime = time.Second

// startRanks orders every rank's node to run its part. Unless all acknowledge, the attempt is lost.
// The key is in the orders alone: the leader forgets it, and a new one never repeats an order. If
// some ranks have none when a leader goes, the attempt is lost, and the next one has another key.
func (l *leader) startRanks(p job.Plan, nodes []*node, key collective.Key) {
	members := make([]wire.Member, len(nodes))
	for i, n := range nodes {
		members[i] = wire.Member{Node: n.reg.Node, Name: n.reg.Name, Route: n.reg.Route,
			Identity: n.identity}
	}

	left := len(nodes)
	for rank, n := range nodes {
		order := wire.StartOrder{Plan: p, Rank: rank, Members: members, Key: key}
		l.orders[n.reg.Node]++
		l.stir(n)
		l.c.world.Send(n.reg.Node, order, l.c.cfg.Timing.Order, during(l, func(err error) {
			if l.orders[n.reg.Node]--; l.orders[n.reg.Node] == 0 {
				delete(l.orders, n.reg.Node)
			}

			if now := l.nodes[n.reg.Node]; now != nil { // it may have registered again
				l.stir(now)
			}
			if err != nil {
				l.c.wake() // the node may be free again
				l.blame(p.Job, n.reg.Node)
				l.abandon(p, fmt.Sprintf("node %s (rank %d) did not take the order to start: %v",
					n.reg.Name, rank, err))
				return
			}
			l.rankStarted(n.reg.Node, wire.Work{Job: p.Job, Attempt: p.Attempt, Rank: rank})
			if left--; left == 0 {
				l.allStarted(p)
			}
		}))
	}
}

// idle reports whether a node can be given work. One that has not answered an order may have taken
// it, also if the attempt is over by now.
func (l *leader) idle(n *node) bool {
	return n.beat.State == wire.Idle && l.orders[n.reg.Node] == 0
}

// newKey draws a key for an attempt or a measurement; none in an open cluster, whose nodes may be
// older than keys.
func (l *leader) newKey() (k collective.Key) {
	if l.c.cfg.Locked {
		l.c.world.Random(k[:])
	}
	return k
}

// rankStarted notes that a node took an order, before its next heartbeat says so: if the attempt is
// lost at once, the node is not idle yet.
func (l *leader) rankStarted(id job.NodeID, w wire.Work) {
	if n := l.nodes[id]; n != nil && n.beat.State == wire.Idle {
		n.beat.State, n.beat.Work = wire.Busy, w
		l.stir(n)
	}
}

// allStarted notes that all ranks of a plan are at work.
func (l *leader) allStarted(p job.Plan) {
	if l.paces[p.Job].Attempt < p.Attempt {
		now := l.c.cfg.Clock()
		l.paces[p.Job] = sched.Pace{Attempt: p.Attempt, Placed: now, At: now}
	}
	l.noteWork(p.Nodes[0], wire.Work{Job: p.Job, Attempt: p.Attempt})
}

// abandon gives up an attempt that did not start, if it is still live.
func (l *leader) abandon(p job.Plan, reason string) {
	if r, live := l.live(p.Nodes[0], wire.Work{Job: p.Job, Attempt: p.Attempt}); live {
		l.lose(r, job.Setback{Reason: reason})
	}
}

// stopRanks orders the nodes of a plan to stop, without waiting for them. With cancel, a job ends
// once one of its ranks says that it has stopped.
func (l *leader) stopRanks(p job.Plan, cancel bool, reason string) {
	order := wire.Stop{Job: p.Job, Attempt: p.Attempt, Cancel: cancel, Reason: reason}
	for _, id := range p.Nodes {
		if l.nodes[id] != nil {
			l.sendStop(id, order)
		}
	}
}

// sendStop sends a stop order. One that is not acknowledged is logged and not repeated: the answer
// to the node's next heartbeat says the same.
func (l *leader) sendStop(id job.NodeID, order wire.Stop) {
	l.c.world.Send(id, order, stopTime, func(err error) {
		if err != nil {
			l.c.log.Warn("a stop order was not acknowledged", "node", id, "job", order.Job,
				"error", err)
		}
	})
}

// routesRate bounds what is sent of routes in a second, in bytes, where many nodes come or go at
// once: each change is a list of all for each of them.
const routesRate = 64 << 20

// publishRoutes tells all nodes which data-plane servers there are, if that has changed. A node
// that registers hears of the others at once, and needs no more to reach them.
func (l *leader) publishRoutes() {
	now := l.c.cfg.Clock()
	if !l.routesChanged || now.Before(l.routesNext) {
		return
	}
	routes, bytes := l.routes(""), 0
	for _, r := range routes {
		bytes += len(r)
	}
	bytes *= len(l.nodes)
	l.routesChanged = false
	l.routesNext = now.Add(time.Duration(float64(bytes) / routesRate * float64(time.Second)))
	if err := l.c.world.PublishRoutes(wire.Routes{Routes: routes}); err != nil {
		l.c.log.Warn("cannot publish routes", "error", err)
	}
}
