package topology

import (
	"cmp"
	"math"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// place finds the best of several places of a mesh, false where too few sites have the memory.
func (c *chooser) place(m partition.Mesh) (best placed, ok bool) {
	t := newTask(c.w, m)
	best.t, best.step.Time = t, math.Inf(1)

	var tried [][]int
	for _, pool := range c.pools(m) {
		for order := range orders {
			at := c.fill(m, pool, order)
			same := func(o []int) bool { return slices.Equal(o, at) }
			if at == nil || !c.putFirst(at, pool.sites, m.Ulysses) || slices.ContainsFunc(tried, same) {
				continue
			}
			tried = append(tried, at)
			if s, _ := c.predict(t, at, math.Inf(1)); s.Time < best.step.Time {
				best.at, best.step = at, s
			}
			if c.effort < 0 && best.at != nil {
				return best, true
			}
		}
	}
	return best, best.at != nil
}

// predict is task.under, and counts the effort.
func (c *chooser) predict(t *task, at []int, limit float64) (Step, float64) {
	const start = 50
	if t.even == nil { // the windows' velocities are counted first
		c.effort -= start * t.w.Count() * t.m.Ulysses
	}
	s, least := t.under(c.g, at, limit)
	c.effort -= start + len(at)*(2+t.m.Ulysses) + 3*len(t.even)
	return s, least
}

// fill places a mesh on sites of a pool, nil if there are too few of them. What processes
// have room for whole comes first, then what hosts have.
func (c *chooser) fill(m partition.Mesh, p *pool, order int) []int {
	left := slices.Clone(c.binsOf(p)) // take replaces what it changes
	sorted := p.sorted(c, order, m.Ulysses)
	c.effort -= len(left) + m.Size()

	need := m.Windows() * m.CFG
	var cells [][]int
	for _, room := range []func(*bin) int{(*bin).together, (*bin).sites} {
		for _, i := range sorted {
			if len(cells) == need {
				break
			}
			for room(&left[i]) >= m.Ulysses && len(cells) < need {
				cells = append(cells, left[i].take(m.Ulysses))
			}
		}
	}

	for len(cells) < need {
		cell := c.split(left, m.Ulysses, order)
		if cell == nil {
			return nil
		}
		cells = append(cells, cell)
	}
	return c.arrange(cells)
}

// split takes a group that no host has room for: from the hosts that have the most left, of one
// rack if one has room, or in another order from those with the fastest interfaces, of any rack.
func (c *chooser) split(bins []bin, n, order int) (out []int) {
	left, total := make([]int, c.g.racks), 0
	for i := range bins {
		left[c.g.hosts[bins[i].host].rack] += bins[i].left
		total += bins[i].left
	}
	if total < n {
		return nil
	}

	rack := -1 // the smallest that has room
	for r, k := range left {
		if k >= n && order != fastest && (rack < 0 || k < left[rack]) {
			rack = r
		}
	}
	for len(out) < n {
		best := -1
		for i := range bins {
			b := &bins[i]
			in := rack < 0 || c.g.hosts[b.host].rack == rack
			if b.left > 0 && in && (best < 0 || c.before(b, &bins[best], order)) {
				best = i
			}
		}
		out = append(out, bins[best].take(min(n-len(out), bins[best].left))...)
	}
	return out
}

// before reports whether sites of a come before those of b in a group that is split.
func (c *chooser) before(a, b *bin, order int) bool {
	x, y := &c.g.hosts[a.host], &c.g.hosts[b.host]
	if order == fastest && x.far != y.far {
		return x.far > y.far
	}
	return a.left > b.left || a.left == b.left && x.net > y.net
}

// arrange puts the fast groups first, which have the most windows, and those of a rack and a host
// next to each other; within a group the fast ranks come first, which have the most of it.
func (c *chooser) arrange(cells [][]int) []int {
	type cell struct {
		sites   []int
		slowest int
	}
	sorted := make([]cell, len(cells))
	for i, sites := range cells {
		s := &sorted[i]
		s.sites, s.slowest = sites, math.MaxInt
		for _, n := range sites {
			s.slowest = min(s.slowest, c.levels[n])
		}
		slices.SortStableFunc(sites, func(a, b int) int {
			return c.levels[b] - c.levels[a]
		})
	}

	slices.SortStableFunc(sorted, func(a, b cell) int {
		return cmp.Or(b.slowest-a.slowest, c.g.rack[a.sites[0]]-c.g.rack[b.sites[0]],
			c.g.host[a.sites[0]]-c.g.host[b.sites[0]])
	})

	var out []int
	for _, s := range sorted {
		out = append(out, s.sites...)
	}
	return out
}

// putFirst has a site at rank 0 that may be there: one of its group, of another group, which then
// comes first, or one that is not taken. u is how many ranks a group has.
func (c *chooser) putFirst(at, pool []int, u int) bool {
	may := c.ask.First
	if may == nil || may(at[0]) {
		return true
	}

	if r := slices.IndexFunc(at, may); r >= 0 {
		for i := range u * min(1, r/u) { // another group
			at[i], at[r-r%u+i] = at[r-r%u+i], at[i]
		}
		at[0], at[r%u] = at[r%u], at[0]
		return true
	}
	for _, i := range pool {
		if may(i) {
			at[0] = i
			return true
		}
	}
	return false
}
