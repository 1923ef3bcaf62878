package sched

import (
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// place picks the mesh and the nodes of a job's next attempt and takes them out of this round.
// obstacle has found that enough nodes are free and that one of them can write the format.
func (s *scheduler) place(q Queued) Decision {
	from := s.trusted(q)
	mesh, err := arrange(s.Model, q.Record, len(from))
	if err != nil {
		return Decision{Action: Fail, Why: err.Error()}
	}
	picked := pick(from, mesh.Size(), q.Spec.Format)
	s.free = slices.DeleteFunc(slices.Clone(s.free), func(n Node) bool {
		return slices.ContainsFunc(picked, func(p Node) bool { return p.ID == n.ID })
	})
	s.room -= q.Needs
	return Decision{Action: Place, Mesh: mesh, Nodes: picked, Shares: groupSpeeds(mesh, picked)}
}

// trusted returns the free nodes without those on which the job went wrong, or all free nodes if it
// cannot do without them.
func (s *scheduler) trusted(q Queued) []Node {
	good := slices.DeleteFunc(slices.Clone(s.free), func(n Node) bool { return q.Blamed[n.ID] })
	if len(good) >= max(q.wanted(), 1) && anyWrites(good, q.Spec.Format) {
		return good
	}
	return s.free
}

// arrange chooses the mesh of a job's next attempt on at most free nodes. After a loss the shards
// asked for are the most that it gets, not the least, and a mesh that no longer fits is given up.
func arrange(m job.Model, r job.Record, free int) (job.Mesh, error) {
	s := r.Spec
	if r.Attempt > 0 {
		if asked := max(s.Shards, s.Mesh.Size()); asked > 0 {
			free = min(free, asked)
		}
		if s.Mesh.Size() != free {
			s.Shards, s.Mesh = 0, job.Mesh{}
		}
	}
	return plan.Mesh(m, s, free, 0)
}

// pick returns n of the nodes by rank. Rank 0 encodes the clip, so the first can write the format;
// one of from can.
func pick(from []Node, n int, format string) []Node {
	from = byProcess(from, n)
	first := slices.IndexFunc(from, func(n Node) bool { return n.writes(format) })
	picked := []Node{from[first]}
	rest := slices.Delete(slices.Clone(from), first, first+1)
	return append(picked, rest[:n-1]...)
}

// byProcess puts the nodes of one process next to each other, because they hand tensors over by
// reference. The smallest process that has n nodes comes first; if none has, larger ones come
// before smaller ones, so that n nodes are of as few processes as possible.
func byProcess(from []Node, n int) []Node {
	var processes [][]Node
	at := map[string]int{}
	for _, f := range from {
		i, seen := at[f.Process]
		if !seen {
			i = len(processes)
			at[f.Process], processes = i, append(processes, nil)
		}
		processes[i] = append(processes[i], f)
	}

	slices.SortStableFunc(processes, func(a, b []Node) int {
		if len(a) >= n && len(b) >= n {
			return len(a) - len(b)
		}
		return len(b) - len(a)
	})
	return slices.Concat(processes...)
}
