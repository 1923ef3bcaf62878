package sched

import (
	"slices"

	"github.com/longtake/longtake/internal/job"
)

// blocking is what a job that waits keeps for itself, because what it waits for will come.
type blocking int

const (
	nothing    blocking = iota // those behind it pass
	itsNodes                   // the nodes that have its model
	everything                 // all nodes: the store is what is missing
)

// claim keeps nodes for a job that waits.
func (s *scheduler) claim(q *Queued, what blocking) {
	switch k := s.kinOf(&q.Spec); {
	case what == itsNodes && !k.claimed:
		k.claimed = true
		s.claims, s.claimed = append(s.claims, s.usableBy(q)), nil
	case what == everything && !s.allAsked:
		s.allAsked = true
		s.claims, s.claimed = append(s.claims, s.usable), nil
	}
}

// allClaimed reports whether jobs wait for all nodes that may run a job.
func (s *scheduler) allClaimed(spec *job.Spec) bool {
	return s.allAsked || s.kinOf(spec).claimed
}

// isClaimed reports whether a job waits for a node.
func (s *scheduler) isClaimed(n *Node) bool {
	if s.claimed == nil {
		s.claimed = map[job.NodeID]bool{}
		for _, nodes := range s.claims {
			for _, o := range nodes {
				s.claimed[o.ID] = true
			}
		}
	}
	return s.claimed[n.ID]
}

// behindOthers reports whether an earlier job waits for a node that has q's model.
func (s *scheduler) behindOthers(q *Queued) bool {
	nodes := s.usableBy(q)
	if len(s.claims) == 0 || s.allClaimed(&q.Spec) {
		return len(s.claims) > 0 && len(nodes) > 0
	}
	return slices.ContainsFunc(nodes, s.isClaimed)
}
