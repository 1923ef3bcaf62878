package topology

import (
	"cmp"
	"fmt"
	"math"
)

// Class says what lies between two ranks.
type Class int

// The classes, from the fastest on.
const (
	Process Class = iota // one process: by reference, or between its GPUs
	Host                 // two processes of one host
	Net                  // two hosts of one rack
	Far                  // two racks
)

// String names the link for people.
func (c Class) String() string {
	return [...]string{"within a process", "within a host", "between hosts", "between racks"}[c]
}

// Rates are what a node reaches over its links, in bytes per second and direction; 0: not known.
type Rates struct {
	Process float64 `json:"process,omitempty"`
	Host    float64 `json:"host,omitempty"`
	Net     float64 `json:"network,omitempty"`
	Far     float64 `json:"racks,omitempty"`
}

// RateNames are the names of the rates in settings, by class.
var RateNames = []string{"process", "host", "network", "racks"}

// Defaults stand for what is neither measured nor set: memory that is copied, NATS over loopback,
// 10 Gbit/s of which four fifths arrive, and twice as many hosts behind a rack's uplink as it
// carries.
var Defaults = Rates{Process: 10e9, Host: 1.5e9, Net: 1e9, Far: 0.5e9}

// RateMost bounds a rate, so that no product overflows.
const RateMost = 1e15

// Check wants rates from 0 to 1e15.
func (r Rates) Check() error {
	for _, v := range []float64{r.Process, r.Host, r.Net, r.Far} {
		if !(v >= 0 && v <= RateMost) || math.IsNaN(v) {
			return fmt.Errorf("a rate of %v bytes a second; allowed: 0 to %g", v, RateMost)
		}
	}
	return nil
}

// Or returns the rates, with those of o where one is not known.
func (r Rates) Or(o Rates) Rates {
	return Rates{cmp.Or(r.Process, o.Process), cmp.Or(r.Host, o.Host), cmp.Or(r.Net, o.Net),
		cmp.Or(r.Far, o.Far)}
}

// Of returns the rate of a class.
func (r Rates) Of(c Class) float64 { return [...]float64{r.Process, r.Host, r.Net, r.Far}[c] }

// With returns the rates with another one of a class.
func (r Rates) With(c Class, v float64) Rates {
	*[...]*float64{&r.Process, &r.Host, &r.Net, &r.Far}[c] = v
	return r
}

// Site is a node as far as placement is concerned.
type Site struct {
	Name string // for people
	// Process and Host are equal for nodes that share one; empty: a process or a host of its own.
	// Rack is a label, the same for all nodes of a host; empty is a rack, too.
	Process, Host, Rack string
	// Speed is in multiplications and additions per second; Attention is that of attention, where it
	// is another one, else 0.
	Speed, Attention float64
	// Pass is what each pass takes beside what it computes, in seconds.
	Pass float64
	// Idle is the part of Pass that hides activations as computing does: kernels that are not issued
	// yet, in seconds.
	Idle float64
	// Measured is the speed as passes of clips have shown it; 0: none yet.
	Measured float64
	// Memory is how many bytes a clip may take; 0: not known.
	Memory int64
	// Rates and Delays are of its links, as far as it has measured them, or for its host.
	Rates  Rates
	Delays Delays
	// Cost orders sites that are alike otherwise: lower ones are taken first.
	Cost int
}

// compute returns how many seconds so much work takes that is not attention, and that is.
func (s *Site) compute(linear, attention float64) float64 {
	if s.Attention == 0 {
		return (linear + attention) / s.Speed
	}
	return linear/s.Speed + attention/s.Attention
}

// pace is the speed of a whole pass, by which sites are compared.
func (s *Site) pace(w Work) float64 {
	if s.Attention == 0 || w.Linear+w.Attention == 0 {
		return s.Speed
	}
	return (w.Linear + w.Attention) / s.compute(w.Linear, w.Attention)
}

// Between says what lies between two sites.
func Between(a, b Site) Class {
	switch {
	case a.Process != "" && a.Process == b.Process:
		return Process
	case a.Host != "" && a.Host == b.Host:
		return Host
	case a.Rack == b.Rack:
		return Net
	}
	return Far
}

// Hosts counts the hosts of sites, 0 where one does not say on which it is.
func Hosts(sites []Site) int {
	seen := map[string]bool{}
	for _, s := range sites {
		if s.Host == "" {
			return 0
		}
		seen[s.Host] = true
	}
	return len(seen)
}

// ground is the sites with numbers in place of names: of processes, hosts and racks.
type ground struct {
	sites               []Site
	process, host, rack []int // by site
	own                 []Rates
	alone               []bool // whether no other site is of the process
	hosts               []hostLinks
	racks               int
	delays              []Delays // by site; nil: messages take no while on any way
}

// hostLinks is a host: its rack, and what passes between its processes, its network interface, and
// leaves its rack, in bytes per second.
type hostLinks struct {
	name             string
	rack             int
	inside, net, far float64
}

// survey numbers what the sites name. Of a link that several sites of a host have measured, the
// most counts: others may have shared it while they measured.
func survey(sites []Site) *ground {
	n := len(sites)
	g := &ground{sites: sites, process: make([]int, n), host: make([]int, n), rack: make([]int, n),
		own: make([]Rates, n), alone: make([]bool, n)}

	processes, hosts, racks := newNames(n), newNames(0), newNames(0)
	for i := range sites {
		s := &sites[i]
		process := s.Process
		if process == "" {
			process = fmt.Sprintf("\x00%d", i) // no name that a node may have
		}
		p, h := processes.number(process), hosts.number(cmp.Or(s.Host, process))
		if h == len(g.hosts) {
			g.hosts = append(g.hosts, hostLinks{name: cmp.Or(s.Host, s.Name),
				rack: racks.number(s.Rack)})
		}

		at := &g.hosts[h]
		at.net, at.far = max(at.net, s.Rates.Net), max(at.far, s.Rates.Far)
		at.inside = max(at.inside, s.Rates.Host)
		g.process[i], g.host[i], g.rack[i] = p, h, at.rack
	}

	// What leaves a rack passes the host's interface, too. Half of it is taken for what is not known.
	for i := range g.hosts {
		h := &g.hosts[i]
		h.net = cmp.Or(h.net, h.far, Defaults.Net)
		h.far = min(cmp.Or(h.far, h.net*Defaults.Far/Defaults.Net), h.net)
	}

	// Nor is a host slower in itself than to others, unless it has measured that.
	inProcess := make([]int, n)
	for _, p := range g.process {
		inProcess[p]++
	}
	for i := range sites {
		r := sites[i].Rates
		h := &g.hosts[g.host[i]]
		r.Host = cmp.Or(r.Host, h.inside, max(Defaults.Host, h.net))
		r.Process = cmp.Or(r.Process, max(Defaults.Process, r.Host))
		g.own[i], g.alone[i] = r, inProcess[g.process[i]] == 1
	}
	g.racks, g.delays = len(racks.of), g.delaysOf()
	return g
}

// names numbers what sites name, in the order in which names come.
type names struct {
	of   map[string]int
	last string // that was asked for, and its number: sites of a host follow each other
	at   int
}

func newNames(most int) *names { return &names{of: make(map[string]int, most), at: -1} }

// number returns the number of a name.
func (n *names) number(name string) int {
	if n.at < 0 || name != n.last {
		n.last, n.at = name, numberOf(n.of, name)
	}
	return n.at
}

// between is Between of two numbered sites.
func (g *ground) between(a, b int) Class {
	switch {
	case g.process[a] == g.process[b]:
		return Process
	case g.host[a] == g.host[b]:
		return Host
	case g.rack[a] == g.rack[b]:
		return Net
	}
	return Far
}
