package coord

import (
	"cmp"

	"github.com/longtake/longtake/internal/plan"
)

// offers returns what the nodes that get new work bring to a clip, for predictions.
func (l *leader) offers() []plan.Offer {
	drains := l.c.fsm.drains()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []plan.Offer
	for _, n := range l.nodes {
		if _, drained := drains[n.reg.Node]; !drained {
			out = append(out, n.offer())
		}
	}
	return out
}

// offer prefers the speed measured on clips to the one measured when the node started.
func (n *node) offer() plan.Offer {
	return plan.Offer{Speed: cmp.Or(n.beat.Speed, n.reg.Speed), Memory: n.reg.Memory}
}
