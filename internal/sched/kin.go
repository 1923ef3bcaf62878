package sched

import (
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// kin is what jobs share that the same nodes may run: see Node.has. Thousands of them may wait, and
// each round looks at all, so what is the same for all is found once a round.
type kin struct {
	needs         string // names it
	model, dtype  string
	plain         bool // it needs no LoRAs, so that it is told by these two
	usable        []*Node
	free          []*Node
	counted, open bool // usable, or free, was asked for; free is so until nodes are placed on
	claimed       bool // a job waits for all of usable
	obstacles     []obstacle
}

// obstacle is what keeps jobs from starting that are alike, and what those keep for themselves. It
// holds until the next placement.
type obstacle struct {
	likeness
	why    string
	blocks blocking
}

// likeness is what tells jobs of a kin apart that have lost no attempt, as far as their start goes.
type likeness struct {
	want   int
	format string
	needs  int64
}

// likenessesMost bounds how many are remembered of a kin: they are looked through in order.
const likenessesMost = 16

// kinOf returns the kin of a job.
func (s *scheduler) kinOf(spec *job.Spec) *kin {
	plain := len(spec.LoRAs) == 0
	if k := s.lately; k != nil && plain && k.plain && k.model == spec.Model && k.dtype == spec.DType {
		return k
	}

	needs := spec.Model + "\n" + spec.DType
	if !plain {
		needs = strings.Join(append([]string{needs}, spec.Needs()...), "\n")
	}
	k := s.kins[needs]
	if k == nil {
		k = &kin{needs: needs, model: spec.Model, dtype: spec.DType, plain: plain}
		s.kins[needs] = k
	}
	s.lately = k
	return k
}

// usableBy returns the nodes that may run a job, and freeBy those of them that are free. The caller
// must not change them.
func (s *scheduler) usableBy(q *Queued) []*Node {
	k := s.kinOf(&q.Spec)
	if k.counted {
		return k.usable
	}

	if s.Known.usableFor == nil {
		s.Known.usableFor = map[string][]*Node{}
	}
	nodes, ok := s.Known.usableFor[k.needs]
	if !ok {
		nodes = having(s.usable, &q.Spec)
		s.Known.usableFor[k.needs] = nodes
	}
	k.usable, k.counted = nodes, true
	return nodes
}

func (s *scheduler) freeBy(spec *job.Spec) []*Node {
	k := s.kinOf(spec)
	if !k.open {
		k.free, k.open = having(s.free, spec), true
	}
	return k.free
}

// having returns those of the nodes that may run a job.
func having(nodes []*Node, spec *job.Spec) []*Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return !n.has(spec) })
}

// taken forgets what followed from nodes, and from room in the store, that are taken now.
func (s *scheduler) taken() {
	for _, k := range s.kins {
		k.free, k.open, k.obstacles = nil, false, k.obstacles[:0]
	}
}
