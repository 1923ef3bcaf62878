package topology

import (
	"cmp"
	"math"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// level is a speed, to about a twentieth: what is measured of equal devices differs by less.
func level(speed float64) int { return int(math.Round(math.Log(speed) / math.Log(1.05))) }

// pool is a set of sites that a mesh may be placed on, in the order in which they are taken, and
// sorted by host once a mesh is placed on them.
type pool struct {
	sites  []int
	bins   []bin // see chooser.binsOf
	inRack []int // sites
	order  [orders][]int
}

// poolKey names a pool: those of the sites with the most memory that are of a level of speed or
// faster, behind a fast interface only, of one rack only (from 1) or of any (0).
type poolKey struct {
	sites, level int
	fast         bool
	rack         int
}

// racksTried bounds the racks that are looked at apart, levelsTried the levels of speed.
const (
	racksTried  = 8
	levelsTried = 3
)

// pools lists the pools that a mesh is placed on, without sites that lack the memory: the fast ones
// that are just enough and those of the next levels, all, those of fast interfaces, and of a rack.
func (c *chooser) pools(m partition.Mesh) (out []*pool) {
	n := c.withMemory(m)
	all := c.pool(poolKey{sites: n, level: math.MinInt})
	if len(all.sites) < m.Size() {
		return nil
	}

	add := func(k poolKey) {
		p := c.pool(k)
		same := func(o *pool) bool { return slices.Equal(o.sites, p.sites) }
		if len(p.sites) >= m.Size() && !slices.ContainsFunc(out, same) {
			out = append(out, p)
		}
	}

	at := m.Size() - 1
	for try := 0; try < levelsTried && at < len(all.sites); try++ {
		least := c.levels[all.sites[at]]
		add(poolKey{sites: n, level: least})
		add(poolKey{sites: n, level: least, fast: true})
		for at < len(all.sites) && c.levels[all.sites[at]] >= least {
			at++
		}
	}

	add(poolKey{sites: n, level: math.MinInt})
	add(poolKey{sites: n, level: math.MinInt, fast: true})
	for rack := range min(c.g.racks, racksTried) {
		if c.g.racks > 1 {
			add(poolKey{sites: n, level: math.MinInt, rack: rack + 1})
		}
	}
	return out
}

// withMemory returns how many sites have the memory for their part of a mesh.
func (c *chooser) withMemory(m partition.Mesh) int {
	if c.w.Memory == nil {
		return len(c.byMemory)
	}
	need := c.w.Memory(m)
	n, _ := slices.BinarySearchFunc(c.byMemory, need, func(i int, need int64) int {
		if mem := c.g.sites[i].Memory; mem == 0 || mem >= need {
			return -1
		}
		return 1
	})
	return n
}

// pool returns the pool of a key, which is made once.
func (c *chooser) pool(k poolKey) *pool {
	if p := c.made[k]; p != nil {
		return p
	}

	c.effort -= len(c.g.sites)
	may := make([]bool, len(c.g.sites))
	for _, i := range c.byMemory[:k.sites] {
		h := c.g.hosts[c.g.host[i]]
		may[i] = c.levels[i] >= k.level && (!k.fast || h.net >= c.fastNet/2) &&
			(k.rack == 0 || c.g.rack[i] == k.rack-1)
	}

	p := &pool{inRack: make([]int, c.g.racks)}
	for _, i := range c.bySpeed {
		if may[i] {
			p.sites = append(p.sites, i)
			p.inRack[c.g.rack[i]]++
		}
	}
	c.made[k] = p
	return p
}

// prepare sorts the sites by what pools look at. Sites of one kind are the same to a rank, wherever
// other ranks are; sites of one class are if no other rank is on their hosts.
func (c *chooser) prepare() {
	c.made = map[poolKey]*pool{}
	c.sortKinds()

	n := len(c.g.sites)
	c.levels, c.bySpeed, c.byMemory = make([]int, n), numbers(n), numbers(n)
	for i := range c.g.sites {
		s := &c.g.sites[i]
		if i > 0 && s.pace(c.w) == c.g.sites[i-1].pace(c.w) {
			c.levels[i] = c.levels[i-1]
			continue
		}
		c.levels[i] = level(s.pace(c.w))
	}

	sortStable(c.bySpeed, func(a, b int) int {
		return cmp.Or(c.levels[b]-c.levels[a], c.g.sites[a].Cost-c.g.sites[b].Cost)
	})
	memory := func(i int) int64 { return cmp.Or(c.g.sites[i].Memory, math.MaxInt64) }
	sortStable(c.byMemory, func(a, b int) int { return cmp.Compare(memory(b), memory(a)) })
	for _, h := range c.g.hosts {
		c.fastNet = max(c.fastNet, h.net)
	}
}

// sortStable is slices.SortStableFunc, which takes a while for what is in order, as most sites are.
func sortStable(s []int, by func(a, b int) int) {
	if !slices.IsSortedFunc(s, by) {
		slices.SortStableFunc(s, by)
	}
}

// sortKinds finds the kinds and the classes of sites.
func (c *chooser) sortKinds() {
	type likeness struct {
		speed, attention, measured, pass, idle float64
		delays                                 Delays
	}
	type kind struct {
		process, host int
		likeness
		own   Rates
		first bool
	}
	type class struct {
		likeness
		own      Rates
		first    bool
		rack     int
		net, far float64
	}

	// Neighbours mostly are of the same kind, so that most need not be looked up.
	kinds, classes := make(map[kind]int, len(c.g.hosts)), map[class]int{}
	var lastKind kind
	var lastClass class
	c.kind, c.class = make([]int, len(c.g.sites)), make([]int, len(c.g.sites))
	for i := range c.g.sites {
		s, h := &c.g.sites[i], &c.g.hosts[c.g.host[i]]
		like := likeness{s.Speed, s.Attention, s.Measured, s.Pass, s.Idle, Delays{}}
		if c.g.delays != nil {
			like.delays = c.g.delays[i]
		}
		first := c.ask.First == nil || c.ask.First(i)

		// A process of one site is like all such of its host.
		k := kind{process: c.g.process[i], likeness: like}
		if c.g.alone[i] && !c.plain {
			k = kind{-1, c.g.host[i], like, c.g.own[i], first}
		}

		of := class{like, c.g.own[i], first, c.g.rack[i], h.net, h.far}
		if i == 0 || k != lastKind {
			lastKind = k
			c.kind[i] = numberOf(kinds, k)
		} else {
			c.kind[i] = c.kind[i-1]
		}

		if i == 0 || of != lastClass {
			lastClass = of
			c.class[i] = numberOf(classes, of)
		} else {
			c.class[i] = c.class[i-1]
		}
	}
}

// numberOf returns the number of a key, from 0 in the order in which they come.
func numberOf[K comparable](of map[K]int, key K) int {
	n, seen := of[key]
	if !seen {
		n = len(of)
		of[key] = n
	}
	return n
}

// The orders are ways to go through hosts for groups that fit whole: the largest first, those that
// the groups fill, the fastest.
const (
	largest = iota
	filled
	fastest
	orders // how many there are
)

// sorted returns the bins in one of the orders.
func (p *pool) sorted(c *chooser, order, ulysses int) []int {
	if p.order[order] != nil && order != filled { // which depends on the group

		return p.order[order]
	}

	out := numbers(len(p.bins))
	slices.SortStableFunc(out, func(i, j int) int {
		a, b := &p.bins[i], &p.bins[j]
		x, y := &c.g.hosts[a.host], &c.g.hosts[b.host]
		large := cmp.Or(p.inRack[y.rack]-p.inRack[x.rack], x.rack-y.rack, b.left-a.left)
		net := cmp.Compare(y.net, x.net)
		switch order {
		case filled:
			over := min(1, a.left%ulysses) - min(1, b.left%ulysses)
			return cmp.Or(over, net, large, a.cost-b.cost)
		case fastest:
			inside := cmp.Compare(c.g.own[b.processes[0][0]].Process, c.g.own[a.processes[0][0]].Process)
			return cmp.Or(b.slowest-a.slowest, inside, net, large, a.cost-b.cost)
		}
		return cmp.Or(large, net, a.cost-b.cost)
	})
	p.order[order] = out
	return out
}

// bin is a host's sites of a pool that are not taken yet, by process.
type bin struct {
	host      int
	processes [][]int
	left      int
	slowest   int // level of its slowest site
	cost      int // the most
}

// binsOf returns the sites of a pool by host.
func (c *chooser) binsOf(p *pool) []bin {
	if p.bins == nil {
		p.bins = c.bins(p.sites)
	}
	return p.bins
}

// bins sorts sites by host.
func (c *chooser) bins(sites []int) (out []bin) {
	at := make([]int, len(c.g.hosts)) // one more than the bin of a host
	// of is the place of a process among those of a host. Nodes that claim to be of one process may
	// be on several.
	of := map[[2]int]int{}
	for k, i := range sites {
		h := c.g.host[i]
		if at[h] == 0 {
			out = append(out, bin{host: h, slowest: math.MaxInt})
			at[h] = len(out)
		}

		b := &out[at[h]-1]
		b.left++
		b.slowest = min(b.slowest, c.levels[i])
		b.cost = max(b.cost, c.g.sites[i].Cost)
		if c.g.alone[i] {
			b.processes = append(b.processes, sites[k:k+1:k+1])
			continue
		}

		key := [2]int{h, c.g.process[i]}
		p, seen := of[key]
		if !seen {
			p = len(b.processes)
			of[key], b.processes = p, append(b.processes, nil)
		}
		b.processes[p] = append(b.processes[p], i)
	}
	return out
}

// sites returns how many are left, and together how many of them at the most share a process.
func (b *bin) sites() int { return b.left }

func (b *bin) together() (most int) {
	for _, p := range b.processes {
		most = max(most, len(p))
	}
	return most
}

// take takes n sites of a host: of the smallest process that has as many, else of the largest ones.
func (b *bin) take(n int) (out []int) {
	b.processes = slices.Clone(b.processes) // other places share them
	for n > 0 {
		best := 0
		for i, p := range b.processes {
			k, l := len(p), len(b.processes[best])
			if enough := k >= n && l >= n; enough && k < l || !enough && k > l {
				best = i
			}
		}

		k := min(n, len(b.processes[best]))
		out = append(out, b.processes[best][:k]...)
		b.processes[best] = b.processes[best][k:]
		b.left -= k
		n -= k
	}
	return out
}

// numbers lists those below n.
func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
