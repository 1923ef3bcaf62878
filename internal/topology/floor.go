package topology

import "slices"

// floor returns a time that no place of a mesh undercuts, 0 where that is not known. Where sites
// are alike and groups fit into hosts it is what the best place takes, which need not be improved.
// It is closer than bounds.of, by which meshes are ordered, and takes longer to find.
//
// A group either is within a host, or leaves one. Of the first case the rank with the most to send
// counts, over the fastest link there is. In the second one the host with the most of its ranks has
// from lo to hi of them, and what it sends is least at one of these ends.
func (c *chooser) floor(t *task) float64 {
	b, u := c.b, t.m.Ulysses
	if c.plain || t.w.Ring || b.unsure || b.measured && t.m.Window > 1 && u == 1 {
		return 0
	}

	f := &floors{t: t, b: b, each: t.pairBytes()}
	branches, groups := float64(t.branches()), len(t.runs)*t.m.CFG
	most, least := branches*float64(slices.Max(t.runs)), branches*float64(slices.Min(t.runs))
	anyWay := f.velocities()
	if u == 1 {
		return almost * (f.step(most, 0) + anyWay)
	}

	split := max(f.step(least, f.split(least)), f.step(most, f.split(most)))
	if u > b.largest {
		return almost * (split + anyWay)
	}
	whole := f.step(most, f.whole(most))

	split = max(f.step(least, f.split(least)), min(whole, f.step(most, f.split(most))))
	if b.whole[u] < groups {
		return almost * (split + anyWay)
	}
	return almost * min(split+anyWay, whole+max(anyWay, f.apart(groups)))
}

// almost is what rounding may take off.
const almost = 1 - 1e-9

// floors are parts of a floor.
type floors struct {
	t    *task
	b    *bounds
	each []int64 // bytes of activations that a rank sends in a pass
}

// pairBytes returns what each rank of a group sends all others in a pass.
func (t *task) pairBytes() (out []int64) {
	for u := range t.m.Ulysses {
		here, heads := int64(t.pass.Tokens[u]), int64(t.pass.Heads[u])
		out = append(out, (3*here*(t.heads-heads)+heads*(t.tokens-here))*t.pass.Unit)
	}
	return out
}

// step returns the least time of a group without velocities, whose activations take so long. A slow
// rank hides more of them, but computes longer by at least as much once it is the one that computes
// the longest: that is where the sum is least.
func (f *floors) step(passes, activations float64) float64 {
	t, fast := f.t, f.b.speeds[0]
	least, most := t.linear[0]+t.attention[0], 0.
	for u, l := range t.linear {
		least, most = min(least, l+t.attention[u]), max(most, l+t.attention[u])
	}

	computes := passes * (most/fast + f.b.leastPass)
	if t.w.Waits || activations == 0 {
		return computes + activations
	}

	n := float64(t.m.Ulysses)
	if least < (2*t.w.Projection+t.w.Attention/2)/n {
		return 0
	}
	slow, each := fast*least/most, passes/n
	hidden := min(activations/2, 2*t.w.Projection/slow*each) +
		min(activations/8, t.w.Attention/slow/2*each)
	return computes + activations - hidden
}

// whole returns how long activations take at least in a group within a host.
func (f *floors) whole(passes float64) float64 {
	return passes * float64(slices.Max(f.each)) / f.b.inside
}

// split returns how long they take at least in a group that is on several hosts.
func (f *floors) split(passes float64) float64 {
	u := f.t.m.Ulysses
	lo, hi := f.b.splits(u)
	if lo > hi {
		return 0 // there is none
	}

	pair := 4 * int64(slices.Min(f.t.pass.Tokens)) * int64(slices.Min(f.t.pass.Heads)) * f.t.pass.Unit
	return passes * float64(pair) * float64(min(lo*(u-lo), hi*(u-hi))) / f.b.net
}

// velocities returns how long velocities take at least: the largest message over the fastest link.
func (f *floors) velocities() float64 {
	most := int64(0)
	for _, p := range f.t.velocities(nil) {
		most = max(most, p.Bytes)
	}
	return float64(most) / max(f.b.inside, f.b.net)
}

// apart returns how long they take at least where no host has two groups.
func (f *floors) apart(groups int) float64 {
	u, most := f.t.m.Ulysses, int64(0)
	if f.b.largest >= 2*u {
		return 0
	}

	sent := make([]int64, groups)
	for _, p := range f.t.velocities(nil) {
		if g := p.From / u; g != p.To/u {
			sent[g] += p.Bytes
			most = max(most, sent[g])
		}
	}
	return float64(most) / f.b.net
}
