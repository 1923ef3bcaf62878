package sched

import (
	"cmp"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/topology"
)

// spread places a job on nodes of several hosts by the time that a step is predicted to take. It
// returns false where that cannot be predicted, or nothing fits.
func (s *scheduler) spread(m job.Model, q *Queued, from []*Node) (Decision, bool) {
	// What costs less to run on is taken first, as elsewhere: which of the others follow is free, but
	// not whether.
	if n := q.wanted(); n > 0 && s.differ(q, from) {
		from = s.prefer(q, from, n)
	}

	sites := sitesOf(from, func(n *Node) int { return int(s.cost(q.Record, n)) })
	spec, most := asked(q.Record, len(from))
	first := func(i int) bool { return from[i].writes(q.Spec.Format) }
	c, ok := plan.Place(m, spec, sites, most, first)
	if !ok {
		return Decision{}, false
	}

	d := Decision{Action: Place, Mesh: c.Mesh, Predicted: c.Step.String()}
	var on []topology.Site
	for _, i := range c.Sites {
		d.Nodes, on = append(d.Nodes, from[i]), append(on, sites[i])
	}

	d.Where = topology.Where(on, whereMost)
	how := topology.Spread(c.Mesh, on)
	if how != "" && len(d.Predicted)+len(how)+2 <= job.WhereLimit {
		d.Predicted += "; " + how
	}
	return d, true
}

// whereMost bounds the bytes of a list of hosts: a mesh follows it within job.WhereLimit.
const whereMost = job.WhereLimit - 64

// differ reports whether it costs more to run the job on some of the nodes than on others.
func (s *scheduler) differ(q *Queued, nodes []*Node) bool {
	return slices.ContainsFunc(nodes, func(n *Node) bool {
		return s.cost(q.Record, n) != s.cost(q.Record, nodes[0])
	})
}

// sitesOf returns nodes as placement sees them. Of two that are alike, the one of the lower cost is
// taken first.
func sitesOf(nodes []*Node, cost func(*Node) int) []topology.Site {
	out := make([]topology.Site, len(nodes))
	shown := shown(nodes)
	for i, n := range nodes {
		out[i] = topology.Site{Name: n.Name, Process: n.Process, Host: n.Host, Rack: n.Rack,
			Speed: cmp.Or(n.Speed, shown*n.Rated), Measured: n.Speed, Memory: n.Memory, Rates: n.Rates,
			Delays: n.Delays, Cost: cost(n)}
	}
	return out
}

// shown returns which part of the speed that nodes had at their start clips have shown of them: a
// product alone is faster than a pass, and a node that has made no clip is not better for it.
func shown(nodes []*Node) float64 {
	speed, rated := 0., 0.
	for _, n := range nodes {
		if n.Speed > 0 && n.Rated > 0 {
			speed, rated = speed+n.Speed, rated+n.Rated
		}
	}
	if rated == 0 {
		return 1
	}
	return speed / rated
}

// speedUp returns by which factor a step of a running job takes less time on the best of its own
// and the free nodes, and on how many that is. It returns false where that cannot be predicted.
func (s *scheduler) speedUp(m job.Model, r *Running, free []*Node) (factor float64, size int,
	ok bool) {
	have := s.nodesOf(r)
	all := slices.Concat(have, free)
	sites := sitesOf(all, func(*Node) int { return 0 })
	spec, most := asked(r.Record, len(all))

	first := func(i int) bool { return all[i].writes(r.Spec.Format) }
	c, ok := plan.Place(m, spec, sites, most, first)
	if !ok || c.Step.Time <= 0 {
		return 0, 0, false
	}
	w, _ := plan.Work(m, r.Spec)
	now := topology.Predict(w, r.Plan.Mesh, sites[:len(have)])
	return now.Time / c.Step.Time, c.Mesh.Size(), true
}
