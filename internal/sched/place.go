package sched

import (
	"cmp"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// place picks the mesh and the nodes of a job's next attempt among the candidates, and takes them
// out of this round.
func (s *scheduler) place(q *Queued, from []*Node) Decision {
	d := s.assign(q, from)
	if d.Action == Fail {
		return d
	}
	s.free = slices.DeleteFunc(slices.Clone(s.free), func(n *Node) bool {
		return slices.ContainsFunc(d.Nodes, func(p *Node) bool { return p.ID == n.ID })
	})
	s.taken()
	s.waiting = slices.DeleteFunc(s.waiting, func(o *Queued) bool { return o.ID == q.ID })
	s.room -= q.Needs
	d.Shares = groupSpeeds(d.Mesh, d.Nodes)
	return d
}

// assign picks the mesh and the nodes: together, by the time that a step is predicted to take,
// where the nodes are on several hosts; else the mesh first.
func (s *scheduler) assign(q *Queued, from []*Node) Decision {
	m, _ := s.Models.Named(q.Spec.Model) // or no node would have it
	if d, ok := s.spread(m, q, from); ok {
		return d
	}
	mesh, err := arrange(m, q.Record, len(from), leastMemory(from))
	if err != nil {
		return Decision{Action: Fail, Why: err.Error()}
	}
	picked := pick(s.prefer(q, from, mesh.Size()), mesh.Size(), q.Spec.Format)
	return Decision{Action: Place, Mesh: mesh, Nodes: picked}
}

// arrange chooses the mesh of a job's next attempt on at most free nodes. memory is what each node
// has, 0 where that is not known.
func arrange(m job.Model, r *job.Record, free int, memory int64) (job.Mesh, error) {
	s, free := asked(r, free)
	return plan.Mesh(m, s, free, memory)
}

// asked returns a job's spec as it counts for its next attempt, on at most so many of the free
// nodes. After a loss the shards asked for are the most that it gets, not the least, and a mesh
// that no longer fits is given up.
func asked(r *job.Record, free int) (job.Spec, int) {
	s := r.Spec
	if r.Attempt > 0 {
		if asked := max(s.Shards, s.Mesh.Size()); asked > 0 {
			free = min(free, asked)
		}
		if s.Mesh.Size() != free {
			s.Shards, s.Mesh = 0, job.Mesh{}
		}
	}
	return s, free
}

// leastMemory returns the least memory of some nodes; 0: one of them does not say.
func leastMemory(nodes []*Node) int64 {
	if len(nodes) == 0 {
		return 0
	}
	least := slices.MinFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.Memory, b.Memory) })
	return least.Memory
}

// pick orders n nodes by rank. Rank 0 encodes the clip, so the first can write the format; one of
// from can.
func pick(from []*Node, n int, format string) []*Node {
	from = byProcess(from, n)
	first := slices.IndexFunc(from, func(n *Node) bool { return n.writes(format) })
	picked := []*Node{from[first]}
	rest := slices.Delete(slices.Clone(from), first, first+1)
	return append(picked, rest[:n-1]...)
}

// byProcess puts the nodes of one process next to each other, because they hand tensors over by
// reference. The smallest process that has n nodes comes first; if none has, larger ones come
// before smaller ones, so that n nodes are of as few processes as possible.
func byProcess(from []*Node, n int) []*Node {
	var processes [][]*Node
	at := map[string]int{}
	for _, f := range from {
		i, seen := at[f.Process]
		if !seen {
			i = len(processes)
			at[f.Process], processes = i, append(processes, nil)
		}
		processes[i] = append(processes[i], f)
	}

	slices.SortStableFunc(processes, func(a, b []*Node) int {
		if len(a) >= n && len(b) >= n {
			return len(a) - len(b)
		}
		return len(b) - len(a)
	})
	return slices.Concat(processes...)
}
