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

	for _, pool := range c.pools(m) {
		for order := range orders {
			at := c.fill(m, pool, order)
			if at == nil || !c.putFirst(at, pool.sites, m.Ulysses) {
				continue
			}
			if s := c.predict(t, at); s.Time < best.step.Time {
				best.at, best.step = at, s
			}
			if c.effort < 0 && best.at != nil {
				return best, true
			}
		}
	}
	return best, best.at != nil
}

// predict is task.predict, and counts the effort.
func (c *chooser) predict(t *task, at []int) Step {
	const start = 50
	if t.even == nil { // the windows' velocities are counted first
		c.effort -= start * t.w.Count() * t.m.Ulysses
	}
	s := t.predict(c.g, at)
	c.effort -= start + len(at)*(2+t.m.Ulysses) + 3*len(t.even) + len(c.g.hosts)
	return s
}

// fill places a mesh on sites of a pool, nil if there are too few of them. What processes
// have room for whole comes first, then what hosts have.
func (c *chooser) fill(m partition.Mesh, p *pool, order int) []int {
	sorted := p.sorted(c, order, m.Ulysses)
	left := slices.Clone(p.bins) // take replaces what it changes
	c.effort -= len(left) + m.Size()

	need := m.Windows() * m.CFG
	var cells [][]int
	for _, room := range []func(*bin) int{(*bin).together, (*bin).sites} {
		for _, i := range sorted {
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
	for _, b := range bins {
		left[c.g.hosts[b.host].rack] += b.left
		total += b.left
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
		for i, b := range bins {
			in := rack < 0 || c.g.hosts[b.host].rack == rack
			if b.left > 0 && in && (best < 0 || c.before(b, bins[best], order)) {
				best = i
			}
		}
		out = append(out, bins[best].take(min(n-len(out), bins[best].left))...)
	}
	return out
}

// before reports whether sites of a come before those of b in a group that is split.
func (c *chooser) before(a, b bin, order int) bool {
	x, y := c.g.hosts[a.host], c.g.hosts[b.host]
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

// climb improves a place by swapping ranks, with each other or with sites that are not taken, and
// groups, for as long as that helps and effort is left.
func (c *chooser) climb(p *placed) {
	if len(p.at) > climbMost {
		return
	}
	u := p.t.m.Ulysses
	groups := func(a, b int) func() {
		return func() {
			for i := range u {
				p.at[a+i], p.at[b+i] = p.at[b+i], p.at[a+i]
			}
		}
	}

	for better := true; better; {
		better = false
		for r := range p.at {
			for s := range r {
				swap := func() { p.at[r], p.at[s] = p.at[s], p.at[r] }
				better = !c.alike(p.at[r], p.at[s]) && c.try(p, swap) || better
				better = u > 1 && r%u == 0 && s%u == 0 && c.try(p, groups(r, s)) || better
			}
			for _, site := range c.spare(p) {
				swap := func() { p.at[r], site = site, p.at[r] }
				better = !c.alike(p.at[r], site) && c.try(p, swap) || better
			}
		}
	}
}

// try keeps a swap, which undoes itself when it is done again, if a step then takes clearly less.
func (c *chooser) try(p *placed, swap func()) bool {
	if c.effort < 0 {
		return false
	}
	swap()
	const clearly = 0.9999
	if may := c.ask.First; may == nil || may(p.at[0]) {
		if s := c.predict(p.t, p.at); s.Time < clearly*p.step.Time {
			p.step = s
			return true
		}
	}
	swap()
	return false
}

// alike reports whether two sites are the same to a rank.
func (c *chooser) alike(a, b int) bool { return c.kind[a] == c.kind[b] }

// spare lists a site of each kind that a place has not taken and that has the memory for it.
func (c *chooser) spare(p *placed) (out []int) {
	used, seen := make([]bool, len(c.g.sites)), make([]bool, len(c.g.sites))
	for _, i := range p.at {
		used[i] = true
	}
	c.effort -= len(c.g.sites)
	for _, i := range c.byMemory[:c.withMemory(p.t.m)] {
		if !used[i] && !seen[c.kind[i]] {
			seen[c.kind[i]], out = true, append(out, i)
		}
	}
	return out
}
