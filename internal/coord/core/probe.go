package core

import (
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// What links carry is measured by idle nodes, one pair at a time, once for each host and kind of
// link: it matters only where nodes are on several hosts.

const (
	probeAlone = 3 * time.Second  // from one measurement to the next
	probeLook  = 10 * time.Second // from one look at a node to the next
	probeAgain = 10 * time.Minute // until what could not be measured is tried again
)

// probing is when a node was last looked at, and asked for each kind of link.
type probing struct {
	looked time.Time
	asked  map[topology.Class]time.Time
	peer   wire.Peer // that it was asked about last, and has not called yet
}

// probe returns the node to which one that has nothing to do is to measure its link; nil: none.
func (l *leader) probe(n *node) *wire.Peer {
	now := l.c.cfg.Clock()
	if n.reg.Host == "" || !l.rests(n) || now.Sub(l.probed) < probeAlone ||
		now.Sub(n.probing.looked) < probeLook {
		return nil
	}

	n.probing.looked = now
	if !l.severalHosts() {
		return nil
	}

	for _, class := range []topology.Class{topology.Host, topology.Net, topology.Far} {
		since, asked := n.probing.asked[class]
		if l.knows(n.reg.Host, class) || asked && now.Sub(since) < probeAgain {
			continue
		}

		if peer := l.restingPeer(n, class); peer != nil {
			asked := maps.Clone(n.probing.asked)
			if asked == nil {
				asked = map[topology.Class]time.Time{}
			}
			asked[class] = now
			n.probing.asked, l.probed = asked, now
			n.probing.peer = wire.Peer{Node: peer.reg.Node, Class: class, Key: l.newKey()}
			ask := n.probing.peer
			return &ask
		}
	}
	return nil
}

// onMeasure passes on to another node that a node begins to measure their link, as it was asked to:
// in a locked cluster nodes cannot order each other. The answer is that of the other node.
func (l *leader) onMeasure(m wire.Probe, reply func(wire.Ack)) {
	n := l.nodes[m.Node]
	asked := wire.Peer{Node: m.To, Class: m.Class, Key: m.Key}
	if n == nil || m.To == "" || n.probing.peer != asked || l.nodes[m.To] == nil {
		reply(wire.Ack{Reason: "no such measurement was asked for", Final: true})
		return
	}

	n.probing.peer = wire.Peer{}
	to := m.To
	m.To = ""
	l.c.world.Send(to, m, stopTime, during(l, func(err error) {
		if err != nil {
			reply(wire.Ack{Reason: err.Error()})
			return
		}
		reply(wire.Ack{OK: true})
	}))
}

// rests reports whether a node has nothing to do, now and as far as it is known.
func (l *leader) rests(n *node) bool {
	_, draining := l.c.machine.drains()[n.reg.Node]
	return l.idle(n) && !draining
}

// severalHosts reports whether nodes are on two hosts at least.
func (l *leader) severalHosts() bool {
	first := ""
	for _, n := range l.nodes {
		if n.reg.Host != "" && first != "" && n.reg.Host != first {
			return true
		}
		if n.reg.Host != "" {
			first = n.reg.Host
		}
	}
	return false
}

// knows reports whether a node of a host has measured a kind of link, or is set to a rate.
func (l *leader) knows(host string, class topology.Class) bool {
	for _, n := range l.nodes {
		if n.reg.Host == host && n.rates().Of(class) > 0 {
			return true
		}
	}
	return false
}

// restingPeer returns the first node by name that rests behind a kind of link, nil if there is
// none.
func (l *leader) restingPeer(n *node, class topology.Class) *node {
	all := l.sortedNodes()
	i := slices.IndexFunc(all, func(o *node) bool {
		return o != n && o.reg.Host != "" && l.rests(o) &&
			topology.Between(n.site(), o.site()) == class
	})
	if i < 0 {
		return nil
	}
	return all[i]
}

// site is the node as placement sees it, as far as its place is concerned.
func (n *node) site() topology.Site {
	return topology.Site{Process: n.reg.ProcessID, Host: n.reg.Host, Rack: n.reg.Rack}
}
