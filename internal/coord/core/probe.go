package core

import (
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// What links carry, and how long messages take there, is measured by idle nodes, one pair at a
// time, once for each host and kind of link: it matters only where nodes are on several hosts. What
// lies between hosts decides the most, so what is inside them waits until no host asks for that.

const (
	probeAlone = 3 * time.Second  // from one measurement to the next
	probeLook  = 10 * time.Second // until a node that had nothing to measure is looked at again
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

	// A cluster of one host is looked at all the time: another host may come the next moment.
	if !l.severalHosts() {
		return nil
	}

	rates, delays := l.known(n.reg.Host)
	for _, class := range []topology.Class{topology.Net, topology.Far, topology.Host} {
		since, asked := n.probing.asked[class]
		rated := rates.Of(class) > 0
		if rated && (delays.Of(class) > 0 || !n.reg.Echoes) || asked && now.Sub(since) < probeAgain ||
			class == topology.Host && now.Sub(l.probedOut) < probeLook {
			continue
		}
		if peer := l.restingPeer(n, class, rated); peer != nil {
			return l.ask(n, class, peer)
		}
	}
	n.probing.looked = now
	return nil
}

// ask has a node measure its link to a peer.
func (l *leader) ask(n *node, class topology.Class, peer *node) *wire.Peer {
	now := l.c.cfg.Clock()
	asked := maps.Clone(n.probing.asked)
	if asked == nil {
		asked = map[topology.Class]time.Time{}
	}
	asked[class] = now
	n.probing.asked, l.probed = asked, now
	if class != topology.Host {
		l.probedOut = now
	}

	n.probing.peer = wire.Peer{Node: peer.reg.Node, Class: class, Key: l.newKey(),
		Echoes: n.reg.Echoes && peer.reg.Echoes}
	p := n.probing.peer
	return &p
}

// onMeasure passes on to another node that a node begins to measure their link, as it was asked to:
// in a locked cluster nodes cannot order each other. The answer is that of the other node.
func (l *leader) onMeasure(m wire.Probe, reply func(wire.Ack)) {
	n := l.nodes[m.Node]
	asked := wire.Peer{Node: m.To, Class: m.Class, Key: m.Key, Echoes: m.Echoes}
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

// known returns what any node of a host has measured of its links, or is set to.
func (l *leader) known(host string) (rates topology.Rates, delays topology.Delays) {
	for _, n := range l.sortedNodes() {
		if n.reg.Host == host {
			rates, delays = rates.Or(n.rates()), delays.Or(n.delays())
		}
	}
	return rates, delays
}

// restingPeer returns a node that rests behind a kind of link, nil if there is none. One that
// answers small messages goes first, and is needed where the rate is known; then one whose host
// does not know the link either, since both ends measure; then the first by name.
func (l *leader) restingPeer(n *node, class topology.Class, rated bool) *node {
	may := func(o *node) bool {
		return o != n && o.reg.Host != "" && (o.reg.Echoes || !rated) && l.rests(o) &&
			topology.Between(n.site(), o.site()) == class
	}
	all := l.sortedNodes()
	first := slices.IndexFunc(all, may)
	if first < 0 {
		return nil
	}

	knows := map[string]bool{}
	for _, o := range all {
		if o.rates().Of(class) > 0 && (o.delays().Of(class) > 0 || !o.reg.Echoes) {
			knows[o.reg.Host] = true
		}
	}
	best, most := all[first], -1
	for _, o := range all[first:] {
		score := 0
		if o.reg.Echoes && n.reg.Echoes {
			score += 2
		}
		if !knows[o.reg.Host] {
			score++
		}
		if score > most && may(o) {
			best, most = o, score
		}
	}
	return best
}

// site is the node as placement sees it, as far as its place is concerned.
func (n *node) site() topology.Site {
	return topology.Site{Process: n.reg.ProcessID, Host: n.reg.Host, Rack: n.reg.Rack}
}
