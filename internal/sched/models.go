package sched

import (
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// loadsPatience is for how many times the time of loading a model jobs of a loaded one go first.
// Then at most one part in five of a node's time goes into loading.
const loadsPatience = 4

// The time that loading takes is measured; where it is not yet, it is taken for loadGuess. patience
// is bounded, since a job should neither wait for minutes nor have models swapped every moment.
const (
	loadGuess     = 5 * time.Second
	patienceLeast = time.Second
	patienceMost  = 2 * time.Minute
)

// patience is how long a job lets jobs of other models pass.
func (s *scheduler) patience() time.Duration {
	longest := time.Duration(0)
	for _, n := range s.usable {
		longest = max(longest, n.LoadTime)
	}
	if longest == 0 {
		longest = loadGuess
	}
	return min(max(loadsPatience*longest, patienceLeast), patienceMost)
}

// loadTime is how long nodes take until all of them have a model ready, as far as it is known.
func loadTime(model string, nodes []*Node) time.Duration {
	longest := time.Duration(0)
	for _, n := range nodes {
		if !n.ready(model) {
			longest = max(longest, n.LoadTime)
		}
	}
	return longest
}

// open returns the free nodes that may run a job and for which no other one waits.
func (s *scheduler) open(spec *job.Spec) []*Node {
	if s.allClaimed(spec) {
		return nil
	}
	nodes := slices.Clone(s.freeBy(spec))
	if len(s.claims) == 0 {
		return nodes
	}
	return slices.DeleteFunc(nodes, s.isClaimed)
}

// candidates returns nodes among which the job's next attempt finds its own: those that have its
// model loaded if they are enough, else also those where nobody waits for what is loaded, or else
// all that are open to it. It is nil if even these are not enough. A job that goes on has a
// measured reason to be on more nodes than have its model loaded: see grow.
func (s *scheduler) candidates(q *Queued) []*Node {
	open, least := s.open(&q.Spec), ready
	if len(open) == 0 {
		return nil
	}
	if q.Attempt > 0 {
		least = spare
	}
	for most := least; most <= wantedByOthers; most++ {
		if some := s.upTo(most, q.Record, open); s.enough(q, some) {
			return s.trusted(q, some)
		}
	}
	return nil
}

// upTo returns the nodes on which running a job costs no more than that.
func (s *scheduler) upTo(most swapCost, r *job.Record, nodes []*Node) []*Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return s.cost(r, n) > most })
}

// enough reports whether the job can start on some of the nodes.
func (s *scheduler) enough(q *Queued, nodes []*Node) bool {
	if len(nodes) < max(q.wanted(), 1) || !anyWrites(nodes, q.Spec.Format) {
		return false
	}
	return !onlyBlamed(q, nodes) || onlyBlamed(q, s.usableBy(q))
}

// trusted returns the nodes without those on which the job went wrong, or all of them if it cannot
// do without.
func (s *scheduler) trusted(q *Queued, nodes []*Node) []*Node {
	good := slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return q.Blamed[n.ID] })
	if len(good) >= max(q.wanted(), 1) && anyWrites(good, q.Spec.Format) {
		return good
	}
	return nodes
}

// swapCost orders nodes by what it costs to run a job on them.
type swapCost int

const (
	ready          swapCost = iota // the model is loaded
	empty                          // no other one is: nothing has to go
	spare                          // nobody waits for what is loaded
	wantedByOthers                 // a job in the queue wants what is loaded
)

// cost is what it costs to run the job on a node.
func (s *scheduler) cost(r *job.Record, n *Node) swapCost {
	switch {
	case n.ready(r.Spec.Model):
		return ready
	case len(n.Loaded) == 0:
		return empty
	case slices.ContainsFunc(s.waiting, func(o *Queued) bool { return n.ready(o.Spec.Model) }):
		return wantedByOthers
	}
	return spare
}

// prefer returns n of the nodes, or more if none of these writes the format: the cheapest first; of
// those for which a model has to go, the ones that have been idle for longest.
func (s *scheduler) prefer(q *Queued, from []*Node, n int) []*Node {
	var out []*Node
	for c := ready; c <= wantedByOthers && len(out) < n; c++ {
		other := func(o *Node) bool { return s.cost(q.Record, o) != c }
		group := slices.DeleteFunc(slices.Clone(from), other)
		if c >= spare {
			slices.SortStableFunc(group, func(a, b *Node) int { return a.IdleSince.Compare(b.IdleSince) })
		}
		left := n - len(out)
		out = append(out, byProcess(group, left)[:min(left, len(group))]...)
	}

	if !anyWrites(out, q.Spec.Format) {
		i := slices.IndexFunc(from, func(o *Node) bool { return o.writes(q.Spec.Format) })
		out[len(out)-1] = from[i]
	}
	return out
}

// letsPass reports whether a job for which a loaded model has to go waits a while: as long as its
// patience lasts, and a job of its priority wants that model and could start there.
func (s *scheduler) letsPass(q *Queued, nodes []*Node) bool {
	n := max(q.wanted(), 1)
	swapped := slices.DeleteFunc(s.prefer(q, nodes, n), func(o *Node) bool {
		return s.cost(q.Record, o) < wantedByOthers
	})
	if len(swapped) == 0 || !q.PassedSince.IsZero() && s.Now.Sub(q.PassedSince) >= s.patience() {
		return false
	}
	return slices.ContainsFunc(s.waiting, func(o *Queued) bool {
		return o.ID != q.ID && o.Spec.Priority == q.Spec.Priority && s.runsOn(o, swapped)
	})
}

// runsOn reports whether a queued job could start now where its model is loaded, among them on one
// of the nodes.
func (s *scheduler) runsOn(q *Queued, nodes []*Node) bool {
	isReady := func(n *Node) bool { return n.ready(q.Spec.Model) && n.has(&q.Spec) }
	if why, _ := s.obstacle(q); why != "" || !slices.ContainsFunc(nodes, isReady) {
		return false
	}
	open := slices.DeleteFunc(s.open(&q.Spec), func(n *Node) bool { return !isReady(n) })
	return s.enough(q, open)
}
