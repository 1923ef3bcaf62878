package topology

import (
	"math"
	"slices"
)

// clearly is by how much less time a step has to take for a swap to be kept.
const clearly = 0.9999

// climb improves a place by swapping ranks, with each other or with sites that are not taken, and
// groups, for as long as that helps and effort is left.
//
// Of swaps that come to the same one is tried. Those that only rename sites are not: of two sites
// that are alike, and of two groups that have hosts of their own which are.
func (c *chooser) climb(p *placed) {
	if len(p.at) > climbMost {
		return
	}

	k := &climber{c: c, p: p}
	k.changed()

	for better := true; better && k.open(); {
		better = false
		for r := range p.at {
			for s := range r {
				better = k.ranks(r, s) || better
				better = k.groups(r, s) || better
			}
			k.look()
			for i, site := range k.spares {
				better = k.move(r, i, site) || better
			}
		}
	}
}

// climber is a place that is being improved, and what is known of it as it is.
type climber struct {
	c *chooser
	p *placed

	looked bool  // spares are those of the place as it is
	spares []int // see chooser.spare
	onHost []int // ranks
	// part is equal for ranks of a group that have as much of it, on sites that are alike; least is
	// what a step takes without velocities if one of two such has moved, by parts: a spare counts from
	// -1 on down.
	part  []int
	least map[[2]int]float64
}

// open reports whether a better place may be found: effort is left, and the floor is far enough
// below what the place takes for a swap to be kept.
func (k *climber) open() bool {
	return k.c.effort >= 0 && (k.c.plain || clearly*k.p.step.Time > k.p.floor)
}

// changed forgets what was known of the place.
func (k *climber) changed() {
	c, p := k.c, k.p
	k.looked, k.least = false, map[[2]int]float64{}
	k.onHost = make([]int, len(c.g.hosts))
	for _, n := range p.at {
		k.onHost[c.g.host[n]]++
	}

	type part struct{ group, tokens, heads, kind, class int }
	seen := map[part]int{}
	k.part = k.part[:0]

	for r, n := range p.at {
		u := r % p.t.m.Ulysses
		key := part{r / p.t.m.Ulysses, p.t.pass.Tokens[u], p.t.pass.Heads[u], c.kind[n], c.class[n]}
		if _, ok := seen[key]; !ok {
			seen[key] = len(seen)
		}
		k.part = append(k.part, seen[key])
	}
}

// look finds the spares, if the place has changed since it last did. It is not done at each rank,
// as few swaps are kept.
func (k *climber) look() {
	if !k.looked {
		k.spares, k.looked = k.c.spare(k.p, k.onHost), true
	}
}

// ranks swaps two ranks, if that helps. Either is of a part, so that one pair of each two parts is
// predicted.
func (k *climber) ranks(r, s int) bool {
	at := k.p.at
	if k.c.alike(at[r], at[s]) {
		return false
	}
	key := [2]int{min(k.part[r], k.part[s]), max(k.part[r], k.part[s])}
	return k.try(key, func() { at[r], at[s] = at[s], at[r] })
}

// groups swaps two groups that begin with these ranks, if that helps.
func (k *climber) groups(r, s int) bool {
	at, u := k.p.at, k.p.t.m.Ulysses
	if u < 2 || r%u != 0 || s%u != 0 || !k.c.plain && k.sameGroups(r, s) {
		return false
	}
	return k.try([2]int{}, func() {
		for i := range u {
			at[r+i], at[s+i] = at[s+i], at[r+i]
		}
	})
}

// sameGroups reports whether a swap of two groups only renames sites: rank for rank they are alike,
// or of the same class on two hosts that have nothing else.
func (k *climber) sameGroups(a, b int) bool {
	c, u := k.c, k.p.t.m.Ulysses
	x, y := k.p.at[a:a+u], k.p.at[b:b+u]
	alike, same := true, true
	for i := range u {
		alike = alike && c.kind[x[i]] == c.kind[y[i]]
		same = same && c.class[x[i]] == c.class[y[i]] && c.g.alone[x[i]] && c.g.alone[y[i]] &&
			c.g.host[x[i]] == c.g.host[x[0]] && c.g.host[y[i]] == c.g.host[y[0]]
	}
	return alike || same && k.onHost[c.g.host[x[0]]] == u && k.onHost[c.g.host[y[0]]] == u
}

// move puts a rank on a site that is not taken, the spare of that number, if that helps.
func (k *climber) move(r, number, site int) bool {
	at := k.p.at
	if k.c.alike(at[r], site) {
		return false
	}
	key := [2]int{k.part[r], -1 - number}
	if !k.looked { // a swap was kept since the spares were listed
		key = [2]int{}
	}
	return k.try(key, func() { at[r], site = site, at[r] })
}

// try keeps a swap, which undoes itself when it is done again, if a step then takes clearly less.
// Swaps of one key, unless it is zero, take the same but for velocities.
func (k *climber) try(key [2]int, swap func()) bool {
	c, p := k.c, k.p
	limit := clearly * p.step.Time
	named := key != [2]int{} && !c.plain

	if least, known := k.least[key]; c.effort < 0 || named && known && least >= limit {
		return false
	}

	swap()
	if may := c.ask.First; may == nil || may(p.at[0]) { // else it is not allowed
		until := limit
		if c.plain {
			until = math.Inf(1)
		}

		s, least := c.predict(p.t, p.at, until)
		if s.Time < limit {
			p.step = s
			k.changed()
			return true
		}
		if named {
			k.least[key] = least
		}
	}
	swap()
	return false
}

// alike reports whether two sites are the same to a rank.
func (c *chooser) alike(a, b int) bool { return c.kind[a] == c.kind[b] }

// spare lists a site of each kind that a place has not taken and that has the memory for it, and of
// hosts that have no rank one of each class of sites.
func (c *chooser) spare(p *placed, onHost []int) (out []int) {
	used := make([]bool, len(c.g.sites))
	inProcess := make([]bool, len(c.g.sites))
	kinds, classes := make([]bool, len(c.g.sites)), make([]bool, len(c.g.sites))
	for _, i := range p.at {
		used[i], inProcess[c.g.process[i]] = true, true
	}

	c.effort -= len(c.g.sites)

	for _, i := range c.byMemory[:c.withMemory(p.t.m)] {
		if used[i] || kinds[c.kind[i]] {
			continue
		}
		kinds[c.kind[i]] = true

		if onHost[c.g.host[i]] == 0 && !inProcess[c.g.process[i]] && !c.plain {
			if classes[c.class[i]] {
				continue
			}
			classes[c.class[i]] = true
		}
		out = append(out, i)
	}
	return slices.Clip(out)
}
