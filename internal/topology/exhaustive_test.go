package topology

import (
	"fmt"
	"math"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// wan is the work of a clip on Wan 14B: 40 layers of 40 heads, and guidance.
func wan(width, height, latents, window, overlap int) Work {
	grid := partition.Grid{T: latents, H: height / 8, W: width / 8, PT: 1, PH: 2, PW: 2}
	w := Work{Load: partition.Load{Timeline: grid.Timeline(window, overlap, false), Heads: 40,
		HeadDim: 128, Layers: 40, TokenWidth: 64, Guided: true, ElementBytes: 2}}
	n, d := float64(w.WindowTokens()), 5120.
	w.Linear = 40 * (12*n*d*d + 4*n*d*13824)
	w.Attention = 40 * 4 * n * n * d
	w.Projection = 40 * 2 * n * d * d
	return w
}

// clips are 81 frames of 720p, and a minute.
func clips() map[string]Work {
	return map[string]Work{"81 frames": wan(1280, 720, 21, 0, 0),
		"a minute": wan(1280, 720, 241, 21, 5)}
}

// cluster has hosts of some sites each, whose GPUs make 400 TFLOP a second.
func cluster(sizes ...int) (out []Site) {
	for h, n := range sizes {
		for i := range n {
			host := fmt.Sprint("h", h)
			out = append(out, Site{Name: fmt.Sprint(host, "-", i), Process: host, Host: host,
				Speed: 400e12, Rates: Rates{Process: 100e9, Host: 10e9, Net: 10e9}})
		}
	}
	return out
}

// counterexample looks for a mesh and a place whose step takes less than a limit, and returns the
// first that it finds. It looks at all of them: meshes of any size on any sites, but for those that
// differ only by sites that are alike. A part of a place takes no longer than the whole, so that a
// part above the limit ends a branch; what is left out there is above it as well. Velocities are
// not counted, so that no better place is missed for their sake.
func counterexample(w Work, sites []Site, most int, limit float64) (string, int) {
	x := &search{w: w, g: survey(sites), limit: limit}
	x.kinds()
	for _, m := range partition.Meshes(min(most, len(sites)), w.Load) {
		x.t = newTask(w, m)
		x.at, x.chosen = nil, nil
		if x.least() < limit {
			x.extend(false)
		}
		if x.found != "" {
			break
		}
	}
	return x.found, x.looked
}

type search struct {
	w      Work
	g      *ground
	t      *task
	limit  float64
	kind   [][]int // sites that are alike
	used   []int   // of each kind
	at     []int
	chosen []int // their kinds
	looked int
	found  string
}

// least returns what the mesh takes if all its ranks are as fast as the fastest.
func (x *search) least() float64 {
	fastest := 0.
	for _, s := range x.g.sites {
		fastest = max(fastest, s.Speed)
	}
	passes := 1
	if !x.shared() {
		passes = x.t.runs[0]
	}
	pass := (x.w.Linear + x.w.Attention) / float64(x.t.m.Ulysses)
	return float64(passes*x.t.branches()) * pass / fastest
}

// shared reports whether speeds that are measured may share the windows, so that a group has one at
// least.
func (x *search) shared() bool {
	measured := func(s Site) bool { return s.Measured > 0 }
	return x.t.m.Window > 1 && x.t.m.Ulysses == 1 && slices.ContainsFunc(x.g.sites, measured)
}

// kinds sorts the sites.
func (x *search) kinds() {
	at := map[string]int{}
	for i, s := range x.g.sites {
		key := fmt.Sprint(x.g.process[i], s.Speed, s.Measured, s.Rates)
		k, seen := at[key]
		if !seen {
			k = len(x.kind)
			at[key], x.kind = k, append(x.kind, nil)
		}
		x.kind[k] = append(x.kind[k], i)
	}
	x.used = make([]int, len(x.kind))
}

// fresh names a kind of which nothing is taken, so that of hosts that are alike one is tried.
func (x *search) fresh(k int) string {
	if x.used[k] > 0 {
		return ""
	}
	n := x.kind[k][0]
	h := x.g.hosts[x.g.host[n]]
	for o := range x.kind { // another kind of the host is taken
		if x.g.host[x.kind[o][0]] == x.g.host[n] && x.used[o] > 0 {
			return ""
		}
	}
	return fmt.Sprint(h.net, h.far, h.rack, len(x.kind[k]), x.g.sites[n].Speed, x.g.own[n],
		x.inHost(x.g.host[n]))
}

// inHost describes the kinds of a host.
func (x *search) inHost(host int) (out string) {
	for _, k := range x.kind {
		if x.g.host[k[0]] == host {
			out += fmt.Sprint(len(k), x.g.sites[k[0]].Speed, " ")
		}
	}
	return out
}

// extend gives the next rank each kind of site in turn. Of places that differ by the order of ranks
// whose parts are equal but for a token, of groups that make as many passes, or of hosts that are
// alike, it looks at the first. tight: the group's ranks so far are of the kinds of the group
// before.
func (x *search) extend(tight bool) {
	r, u := len(x.at), x.t.m.Ulysses
	if x.found != "" {
		return
	}
	if r > 0 && r%u == 0 {
		x.looked++
		s := x.bound()
		if s >= x.limit {
			return
		}
		if r == x.t.m.Size() {
			if s = max(s, x.ordered()); s >= x.limit {
				return
			}
			x.found = fmt.Sprintf("%v on %v takes %.4g s", x.t.m, x.at, s)
			return
		}
		g := r / u
		tight = x.t.runs[g/x.t.m.CFG] == x.t.runs[(g-1)/x.t.m.CFG]
	}

	i, from := r%u, 0
	p := x.t.pass
	if i > 0 && p.Tokens[i-1]-p.Tokens[i] <= 1 && p.Heads[i] == p.Heads[i-1] {
		from = x.chosen[r-1]
	}
	if tight {
		from = max(from, x.chosen[r-u])
	}
	seen := map[string]bool{}
	for k := from; k < len(x.kind); k++ {
		name := x.fresh(k)
		if x.used[k] == len(x.kind[k]) || name != "" && seen[name] {
			continue
		}
		seen[name] = true
		x.at, x.chosen = append(x.at, x.kind[k][x.used[k]]), append(x.chosen, k)
		x.used[k]++
		x.extend(tight && k == x.chosen[r-u])
		x.used[k]--
		x.at, x.chosen = x.at[:r], x.chosen[:r]
	}
}

// ordered returns the least time of the groups in any order, with velocities, where they are few; 0
// where they are not.
func (x *search) ordered() float64 {
	u := x.t.m.Ulysses
	n, least := len(x.at)/u, math.Inf(1)
	if n > 6 {
		return 0
	}
	at := slices.Clone(x.at)
	var permute func(k int)
	permute = func(k int) {
		if k == n {
			least = min(least, x.t.predict(x.g, at).Time)
			return
		}
		for i := k; i < n; i++ {
			swap := func() {
				for j := range u {
					at[k*u+j], at[i*u+j] = at[i*u+j], at[k*u+j]
				}
			}
			swap()
			permute(k + 1)
			swap()
		}
	}
	permute(0)
	return least
}

// bound returns a time that no place undercuts that begins with these groups: without velocities.
func (x *search) bound() (longest float64) {
	m, u := x.t.m, x.t.m.Ulysses
	flows := make([]flow, len(x.g.hosts))
	if len(x.at) == m.Size() && x.shared() {
		return x.t.predict(x.g, x.at).Time
	}
	for i := range len(x.at) / u {
		passes := float64(x.t.runs[i/m.CFG] * x.t.branches())
		if x.shared() {
			passes = float64(x.t.branches())
		}
		s := x.t.group(x.g, x.at[i*u:(i+1)*u], passes, flows)
		for _, n := range x.at[i*u : (i+1)*u] {
			if took, _ := flows[x.g.host[n]].seconds(x.g.hosts[x.g.host[n]]); u > 1 {
				s.Exposed = max(s.Exposed, took)
			}
		}
		x.t.hide(x.g, x.at[i*u:(i+1)*u], passes, &s)
		longest = max(longest, s.Time)
	}
	return longest
}
