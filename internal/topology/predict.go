package topology

import (
	"math"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// Work is what a step computes and sends.
type Work struct {
	partition.Load
	// Linear and Attention are the multiplications and additions of one pass: those that work token
	// by token, and those of attention. Projection is the part of Linear that is one of queries, keys
	// or values.
	Linear, Attention, Projection float64
	// Waits says that nothing is computed while activations travel, as most programs have it but this
	// one.
	Waits bool
	// Ring says that ranks share attention by tokens and pass keys and values around, each to the
	// next, while they attend to those that they have (ring attention), in place of Ulysses.
	Ring bool
	// Memory returns what a node needs for its part of a mesh, in bytes; nil: not known.
	Memory func(partition.Mesh) int64
}

// Step is what a step is predicted to take, in seconds.
type Step struct {
	Time float64
	// Compute, Exposed and Velocities add up to Time, as the group has them that takes the longest:
	// what its slowest rank computes, activations that nothing hides, and velocities.
	Compute, Exposed, Velocities float64
	// Limit is the link that the activations of that group wait for, where some travel, and Host the
	// host whose link it is.
	Limit   Class
	Host    string
	Travels bool
}

// Predict returns the time of a step of the work on a mesh whose rank r is on sites[r], by the
// formula of this package. The mesh must pass partition.Check, and every site have a speed. Groups
// that differ in speed share the windows as GroupSpeeds has it.
func Predict(w Work, m partition.Mesh, sites []Site) Step {
	at := make([]int, len(sites))
	for i := range at {
		at[i] = i
	}
	return newTask(w, m).predict(survey(sites), at)
}

// predict is Predict where rank r is on site at[r].
func (t *task) predict(g *ground, at []int) Step {
	s, _ := t.under(g, at, math.Inf(1))
	return s
}

// speedSpread is the ratio of the fastest to the slowest window group up to which they share the
// windows evenly: what is measured on busy machines varies from minute to minute.
const speedSpread = 1.25

// GroupSpeeds returns the speeds by which a mesh's window groups share the windows, where rank r
// has speeds[r]. It is nil where all are alike, where one is not known, and where the ranks of a
// group wait for each other within a pass, so that its speed is not that of its slowest rank alone.
func GroupSpeeds(m partition.Mesh, speeds []float64) []float64 {
	if m.Window < 2 || m.Ulysses > 1 {
		return nil
	}

	out := make([]float64, m.Window)
	for rank, s := range speeds {
		if s <= 0 {
			return nil
		}
		if g := rank / m.CFG; out[g] == 0 || s < out[g] {
			out[g] = s
		}
	}

	if slices.Max(out) <= speedSpread*slices.Min(out) {
		return nil
	}
	return out
}

// task is a mesh with what its ranks compute and send, wherever they are.
type task struct {
	w      Work
	m      partition.Mesh
	pass   partition.Pass
	runs   []int // windows of each group, shared evenly
	even   []partition.Pair
	tokens int64 // of a pass
	heads  int64

	// Of a pass, by the number in the group: what is not attention, and what is.
	linear, attention []float64

	// What a prediction works with: of hosts, groups and ranks.
	flows []flow
	steps []Step
	near  [][2]float64
}

func newTask(w Work, m partition.Mesh) *task {
	t := &task{w: w, m: m, pass: partition.PassOf(m, w.Load), runs: partition.RunsOf(m, w.Load, nil)}
	for u := range m.Ulysses {
		t.tokens += int64(t.pass.Tokens[u])
		t.heads += int64(t.pass.Heads[u])
	}
	for u := range m.Ulysses {
		t.linear = append(t.linear, w.Linear*float64(t.pass.Tokens[u])/float64(t.tokens))
		part := float64(t.pass.Heads[u]) / float64(t.heads)
		if w.Ring {
			part = float64(t.pass.Tokens[u]) / float64(t.tokens)
		}
		t.attention = append(t.attention, w.Attention*part)
	}
	return t
}

// velocities are counted once for all placements that share the windows evenly.
func (t *task) velocities(shares []float64) []partition.Pair {
	if shares != nil {
		return partition.Velocities(t.m, t.w.Load, shares)
	}
	if t.even == nil {
		t.even = evenVelocities(t.m, t.w.Load)
	}
	return t.even
}

// branches returns how many passes of a window a rank makes.
func (t *task) branches() int {
	if t.w.Guided {
		return 2 / t.m.CFG
	}
	return 1
}

// flow counts the bytes that pass the links of hosts.
type flow struct{ out, in, farOut, farIn float64 }

// seconds returns how long a host's links take, and which takes longest.
func (f flow) seconds(h hostLinks) (float64, Class) {
	near, far := max(f.out, f.in)/h.net, max(f.farOut, f.farIn)/h.far
	if far > near {
		return far, Far
	}
	return near, Net
}

// add counts bytes from one host to another.
func add(flows []flow, from, to int, c Class, bytes float64) {
	flows[from].out += bytes
	flows[to].in += bytes
	if c == Far {
		flows[from].farOut += bytes
		flows[to].farIn += bytes
	}
}

// under is predict for steps that take less than a limit: it ends once a step takes longer. It also
// returns what the step takes without velocities, of one that takes longer a part of that.
func (t *task) under(g *ground, at []int, limit float64) (longest Step, least float64) {
	shares := GroupSpeeds(t.m, t.measured(g, at))
	runs := t.runs
	if shares != nil {
		runs = partition.RunsOf(t.m, t.w.Load, shares)
	}

	// What groups send within hosts, and what all of them together send between hosts.
	u := t.m.Ulysses
	t.clear(g, at)
	for i := range t.steps {
		passes := float64(runs[i/t.m.CFG] * t.branches())
		t.steps[i] = t.group(g, at[i*u:(i+1)*u], passes, t.flows)
	}

	for i := range t.steps {
		s := &t.steps[i]
		for _, n := range at[i*u : (i+1)*u] {
			host := g.hosts[g.host[n]]
			if took, class := t.flows[g.host[n]].seconds(host); u > 1 && took > s.Exposed {
				s.Exposed, s.Limit, s.Host, s.Travels = took, class, host.name, true
			}
		}
		passes := float64(runs[i/t.m.CFG] * t.branches())
		t.hide(g, at[i*u:(i+1)*u], passes, s)
		if s.Time > longest.Time {
			longest = *s
		}
		if longest.Time >= limit {
			return longest, longest.Time
		}
	}

	least = longest.Time
	longest.Velocities = t.exchange(g, at, shares)
	longest.Time += longest.Velocities
	return longest, least
}

// clear forgets an earlier prediction, as far as these sites' hosts go.
func (t *task) clear(g *ground, at []int) {
	if len(t.flows) < len(g.hosts) {
		t.flows = make([]flow, len(g.hosts))
	}
	if t.steps == nil {
		t.steps, t.near = make([]Step, len(at)/t.m.Ulysses), make([][2]float64, len(at))
	}
	for _, n := range at {
		t.flows[g.host[n]] = flow{}
	}
}

// measured returns the speeds that are measured, by rank; nil where windows are not shared by them.
func (t *task) measured(g *ground, at []int) (out []float64) {
	if t.m.Window < 2 || t.m.Ulysses > 1 {
		return nil
	}
	for _, n := range at {
		out = append(out, g.sites[n].Measured)
	}
	return out
}

// group returns what a group computes in so many passes, and as Exposed how long its slowest link
// within a host takes. It adds to flows what leaves hosts.
func (t *task) group(g *ground, at []int, passes float64, flows []flow) (s Step) {
	for u, n := range at {
		site := &g.sites[n]
		s.Compute = max(s.Compute, passes*(site.compute(t.linear[u], t.attention[u])+site.Pass))
	}
	if len(at) == 1 {
		return s
	}

	between, one := g.among(at)
	for u, from := range at {
		if t.w.Ring {
			next := (u + 1) % len(at)
			bytes := passes * float64(2*(t.tokens-int64(t.pass.Tokens[next]))*t.heads*t.pass.Unit)
			if c := g.between(from, at[next]); c > Host {
				add(flows, g.host[from], g.host[at[next]], c, bytes)
			} else {
				s.local(g, from, c, bytes)
			}
			continue
		}
		if one {
			here, heads := int64(t.pass.Tokens[u]), int64(t.pass.Heads[u])
			bytes := (3*here*(t.heads-heads) + heads*(t.tokens-here)) * t.pass.Unit
			s.local(g, from, between, passes*float64(bytes))
			continue
		}

		near, host := int64(0), int64(0)
		for v, to := range at {
			if u == v {
				continue
			}
			switch c := g.between(from, to); c {
			case Process:
				near += t.pass.Bytes(u, v)
			case Host:
				host += t.pass.Bytes(u, v)
			case Net, Far:
				add(flows, g.host[from], g.host[to], c, passes*float64(t.pass.Bytes(u, v)))
			}
		}
		s.local(g, from, Process, passes*float64(near))
		s.local(g, from, Host, passes*float64(host))
	}
	return s
}

// among tells what lies between any two of some sites, if that is one thing, and within a host.
func (g *ground) among(at []int) (between Class, one bool) {
	process, host, alone := true, true, true
	for _, n := range at {
		process = process && g.process[n] == g.process[at[0]]
		host = host && g.host[n] == g.host[at[0]]
		alone = alone && g.alone[n]
	}
	if process {
		return Process, true
	}
	return Host, host && alone
}

// local counts what a rank sends over a link of its own.
func (s *Step) local(g *ground, from int, c Class, bytes float64) {
	if took := bytes / g.own[from].Of(c); took > s.Exposed {
		s.Exposed, s.Limit, s.Host, s.Travels = took, c, g.hosts[g.host[from]].name, true
	}
}

// hide takes off what travels while the slowest rank of a group computes, and adds up.
func (t *task) hide(g *ground, at []int, passes float64, s *Step) {
	var products, attention float64
	for _, n := range at {
		site := &g.sites[n]
		products = max(products, t.hiding(site, t.w.Projection, 0, len(at)))
		attention = max(attention, t.hiding(site, 0, t.w.Attention, len(at)))
	}

	each, all := passes/float64(len(at)), s.Exposed
	waits := rounds
	switch {
	case t.w.Ring:
		s.Exposed, waits = max(0, all-attention*each), len(at)-1
	case !t.w.Waits:
		s.Exposed -= min(all/2, 2*products*each) + min(all/8, attention/2*each)
	}
	if len(at) > 1 {
		s.Exposed += passes * float64(waits*t.w.Layers) * g.delay(at)
	}
	s.Time = s.Compute + s.Exposed
}

// hiding returns how long a site takes for products or for attention of a whole pass, and beside it
// what hides activations of its n-th part of a pass. What a site is idle may come before either,
// and counts in full for each: a faster site, which is idle for longer, then hides no less.
func (t *task) hiding(site *Site, linear, attention float64, n int) float64 {
	seconds := site.compute(linear, attention)
	if site.Idle == 0 {
		return seconds
	}
	part := 1.
	if linear > 0 {
		part = linear / t.w.Linear
	}
	return seconds + site.Idle*float64(n)*part
}

// rounds is how often in a layer ranks wait for each other's messages: for queries, which come
// last, and for the second half of attention's output.
const rounds = 2

// delay returns the longest of any two sites.
func (g *ground) delay(at []int) (longest float64) {
	if g.delays == nil {
		return 0
	}
	for i, a := range at {
		for _, b := range at[:i] {
			c := g.between(a, b)
			longest = max(longest, g.delays[a].Of(c), g.delays[b].Of(c))
		}
	}
	return longest
}

// exchange returns how long velocities take on the link that is busiest with them. The flows are
// those of velocities afterwards.
func (t *task) exchange(g *ground, at []int, shares []float64) (longest float64) {
	t.clear(g, at)
	clear(t.near)

	delay := 0.
	for _, p := range t.velocities(shares) {
		from, to := at[p.From], at[p.To]
		c := g.between(from, to)
		if g.delays != nil {
			delay = max(delay, g.delays[from].Of(c))
		}
		switch c {
		case Process, Host:
			t.near[p.From][c] += float64(p.Bytes)
		case Net, Far:
			add(t.flows, g.host[from], g.host[to], c, float64(p.Bytes))
		}
	}

	for r, n := range at {
		longest = max(longest, t.near[r][Process]/g.own[n].Process, t.near[r][Host]/g.own[n].Host)
		took, _ := t.flows[g.host[n]].seconds(g.hosts[g.host[n]])
		longest = max(longest, took)
	}
	return longest + delay
}
