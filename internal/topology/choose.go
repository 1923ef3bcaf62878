package topology

import (
	"cmp"
	"math"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// Ask is what a choice has to keep to.
type Ask struct {
	// Mesh is the one to place; zero: any mesh of Ranks ranks, or where that is 0 of up to Most.
	Mesh        partition.Mesh
	Ranks, Most int
	// First tells which sites may have rank 0; nil: all.
	First func(site int) bool
}

// Choice is a mesh and its place: rank r is on site Sites[r].
type Choice struct {
	Mesh  partition.Mesh
	Sites []int
	Step  Step
}

// pays is by how much a step has to be shorter for more ranks to be worth having: others may want
// them.
const pays = 1.01

// effort bounds the search, and climbEffort what improves its best: about in pairs of ranks that
// are looked at. A million is some twenty milliseconds.
const (
	effort      = 200_000
	climbEffort = 400_000
)

// improved is how many meshes are improved at the most.
const improved = 8

// climbMost is up to how many ranks a placement is improved rank by rank.
const climbMost = 64

// Choose returns the mesh and the place of its ranks by which a step is predicted to take the least
// time, and of those within pays of that the one of the fewest ranks. It returns false where no
// mesh fits on sites that have the memory for it. All sites have a speed.
//
// Meshes are looked at from the one whose time cannot be less than any other's, and as long as one
// may be better than the best so far. Each is placed in several ways: groups of a sequence within
// processes and hosts where they fit, the others over as few hosts as possible, and racks last; on
// all hosts, on the fast ones, on those of one rack. The best places are then improved rank by
// rank; what cannot be better, since it is the same but for the names of sites, or since the place
// is as good as any can be, is left out. Equal arguments give equal choices.
func Choose(w Work, sites []Site, ask Ask) (Choice, bool) {
	return newChooser(w, sites, ask, false).choose()
}

// newChooser prepares a choice. plain is for tests: what cannot be better is looked at, too.
func newChooser(w Work, sites []Site, ask Ask, plain bool) *chooser {
	c := &chooser{w: w, ask: ask, g: survey(sites), effort: effort, climbs: climbEffort,
		plain: plain}
	c.prepare()
	return c
}

// choose is Choose.
func (c *chooser) choose() (Choice, bool) {
	var found []placed
	best := math.Inf(1)
	for _, cand := range c.candidates() {
		if cand.bound > pays*best || c.effort < 0 && len(found) > 0 {
			break
		}
		if f, ok := c.place(cand.m); ok {
			best = min(best, f.step.Time)
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return Choice{}, false
	}

	// The best few are improved, but for those that will be too slow all the same.
	c.effort = c.climbs
	slices.SortStableFunc(found, func(a, b placed) int {
		return cmp.Compare(a.step.Time, b.step.Time)
	})
	for i := range found[:min(improved, len(found))] {
		p := &found[i]
		if p.floor = c.floor(p.t); c.plain || p.floor <= pays*best {
			c.climb(p)
			best = min(best, p.step.Time)
		}
	}
	return fewest(found, best), true
}

// placed is a mesh on sites.
type placed struct {
	t    *task
	at   []int // sites, by rank
	step Step
	// floor is a time that no place of the mesh undercuts.
	floor float64
}

// fewest returns the choice of the fewest ranks that takes hardly longer than the best, and of
// several the fastest.
func fewest(found []placed, best float64) Choice {
	near := slices.DeleteFunc(found, func(o placed) bool { return o.step.Time > pays*best })
	f := slices.MinFunc(near, func(a, b placed) int {
		return cmp.Or(len(a.at)-len(b.at), cmp.Compare(a.step.Time, b.step.Time))
	})
	return Choice{Mesh: f.t.m, Sites: f.at, Step: f.step}
}

// chooser is the state of a choice.
type chooser struct {
	w      Work
	ask    Ask
	g      *ground
	effort int // that is left
	climbs int // what is left of it for improvements
	plain  bool

	b                 *bounds
	levels            []int   // of speed, by site
	kind, class       []int   // see prepare
	bySpeed, byMemory []int   // sites, the fastest and those with the most first
	fastNet           float64 // interface
	made              map[poolKey]*pool
}

// candidate is a mesh with the least time that its step could take.
type candidate struct {
	m     partition.Mesh
	bound float64
}

// candidates lists the meshes that may be chosen, those of the least bound first.
func (c *chooser) candidates() (out []candidate) {
	c.b = c.newBounds()
	for _, m := range c.meshes() {
		if m.Size() <= len(c.g.sites) {
			out = append(out, candidate{m, c.b.of(m)})
		}
	}
	slices.SortStableFunc(out, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.bound, y.bound), x.m.Size()-y.m.Size())
	})
	return out
}

// meshes lists those that the ask allows.
func (c *chooser) meshes() []partition.Mesh {
	if c.ask.Mesh != (partition.Mesh{}) {
		return []partition.Mesh{c.ask.Mesh}
	}
	limit := min(cmp.Or(c.ask.Ranks, c.ask.Most), len(c.g.sites))
	return slices.DeleteFunc(partition.Meshes(limit, c.w.Load), func(m partition.Mesh) bool {
		return c.ask.Ranks > 0 && m.Size() != c.ask.Ranks
	})
}

// bounds knows what no placement can be faster than.
type bounds struct {
	w       Work
	windows int
	speeds  []float64 // the fastest first
	sums    []float64 // of the first speeds
	whole   []int     // how many groups of so many ranks fit into hosts whole
	hosts   int
	largest int     // ranks of a host, at the most
	net     float64 // the fastest interface

	// inside is what passes between two sites of a host at the most, leastPass what passes take beside
	// computing. unsure says that attention has a speed of its own somewhere, or a process several
	// hosts, measured that speeds are.
	inside, leastPass float64
	unsure, measured  bool
}

func (c *chooser) newBounds() *bounds {
	b := &bounds{w: c.w, windows: c.w.Count(), hosts: len(c.g.hosts), sums: []float64{0}}
	faster := 1. // attention than products, at the most; it counts as so much less work
	for i := range c.g.sites {
		s := &c.g.sites[i]
		b.speeds = append(b.speeds, s.Speed)
		faster = max(faster, s.Attention/s.Speed)
	}
	b.w.Attention /= faster
	slices.SortFunc(b.speeds, func(x, y float64) int { return cmp.Compare(y, x) })
	for i, s := range b.speeds {
		b.sums = append(b.sums, b.sums[i]+s)
	}

	sizes := make([]int, len(c.g.hosts))
	for _, h := range c.g.host {
		sizes[h]++
		b.largest = max(b.largest, sizes[h])
	}
	b.whole = make([]int, b.largest+1)
	for u := 1; u <= b.largest; u++ {
		for _, n := range sizes {
			b.whole[u] += n / u
		}
	}

	for _, h := range c.g.hosts {
		b.net = max(b.net, h.net)
	}
	b.links(c.g)
	return b
}

// links finds what floors go by. A rank has two links for its group at once where some of the group
// are in its process and others in its host, so that what passes over both is counted.
func (b *bounds) links(g *ground) {
	var own Rates

	// Whether a process is of several sites, or a host of several processes. The last process of each
	// host, and the host of each process, count from 1.
	shares, apart := false, false
	of, on := make([]int, len(g.hosts)), make([]int, len(g.sites))
	b.leastPass = math.Inf(1)
	for i := range g.sites {
		s, p, h := &g.sites[i], g.process[i], g.host[i]
		own.Process, own.Host = max(own.Process, g.own[i].Process), max(own.Host, g.own[i].Host)
		shares = shares || !g.alone[i]
		apart = apart || of[h] > 0 && of[h] != p+1
		b.unsure = b.unsure || s.Attention != 0 || on[p] > 0 && on[p] != h+1
		b.measured = b.measured || s.Measured > 0
		b.leastPass = min(b.leastPass, s.Pass)
		of[h], on[p] = p+1, h+1
	}

	if shares {
		b.inside += own.Process
	}
	if apart {
		b.inside += own.Host
	}
}

// of returns a time that no placement of a mesh undercuts: the work shared by the fastest sites,
// and what a group has to send out of a host where not all of them fit into hosts whole.
func (b *bounds) of(m partition.Mesh) float64 {
	u, groups := m.Ulysses, m.Windows()
	branches := int(b.w.Passes()) / b.windows / m.CFG
	pass := b.w.Linear + b.w.Attention
	bound := float64(b.w.Passes()) * pass / b.sums[m.Size()]

	least := 1. // passes of a group; with shares of its own, a group has a window at least
	if u > 1 {
		most := (b.windows + groups - 1) / groups * branches
		least = float64(b.windows / groups * branches)
		bound = max(bound, float64(most)*pass/b.sums[u])
	}

	// Some rank of each group has the part of the sequence that is least, on the slowest site.
	tokens, heads := b.w.WindowTokens(), b.w.Heads
	part := b.w.Linear*float64(tokens/u)/float64(tokens) +
		b.w.Attention*float64(heads/u)/float64(heads)
	bound = max(bound, least*part/b.speeds[m.Size()-1])
	if u <= b.largest && b.whole[u] >= groups*m.CFG {
		return bound
	}

	// What the host with the most ranks of a split group sends is least at one of these ends.
	lo, hi := b.splits(u)
	leaves := func(n int) float64 { return float64(n) / float64(u) * float64(u-n) / float64(u) }
	element := float64(b.w.HeadDim*b.w.Layers) * float64(cmp.Or(b.w.ElementBytes, 4))
	bytes := 4 * element * float64(tokens) * float64(heads) * min(leaves(lo), leaves(hi))

	// The group need not be the one that computes the longest.
	const uneven, shown = 0.9, 3. / 8 // ranges differ by one; what cannot be hidden
	return max(bound, least*(pass/b.sums[u]+uneven*shown*bytes/b.net))
}

// splits returns how many ranks of a group of u the host with the most of them has at least and at
// the most, where the group is on several.
func (b *bounds) splits(u int) (lo, hi int) {
	return (u + b.hosts - 1) / b.hosts, min(b.largest, u-1)
}
