package topology

import (
	"cmp"
	"fmt"
	"math"
)

// Delays are the seconds from when a node sends a message until it arrives, however small it is, by
// what it passes; 0: none, or not known.
type Delays struct {
	Process float64 `json:"process,omitempty"`
	Host    float64 `json:"host,omitempty"`
	Net     float64 `json:"network,omitempty"`
	Far     float64 `json:"racks,omitempty"`
}

// DelayMost bounds a delay, in seconds.
const DelayMost = 10

// Of returns the delay of a class.
func (d Delays) Of(c Class) float64 { return Rates(d).Of(c) }

// With returns the delays with another one of a class.
func (d Delays) With(c Class, v float64) Delays { return Delays(Rates(d).With(c, v)) }

// Or returns the delays, with those of o where one is not known.
func (d Delays) Or(o Delays) Delays { return Delays(Rates(d).Or(Rates(o))) }

// Check wants delays from 0 to 10 seconds.
func (d Delays) Check() error {
	for _, v := range []float64{d.Process, d.Host, d.Net, d.Far} {
		if !(v >= 0 && v <= DelayMost) {
			return fmt.Errorf("a delay of %v seconds; allowed: 0 to %d", v, DelayMost)
		}
	}
	return nil
}

// A measured delay is rounded to steps of delayStep from delayLeast on; what is less is none.
const (
	delayLeast = 20e-6 // seconds
	delayStep  = 1.25
)

// Rounded returns delays as placement looks at them, in steps of a quarter. What is measured of
// equal links differs in its later digits. Unrounded, each host would be of a kind of its own,
// which the search looks at apart, and a placement that was found would not hold for the next
// measurement. A quarter more or less decides nothing: the links that ranks choose between differ
// by factors.
func (d Delays) Rounded() Delays {
	for c := Process; c <= Far; c++ {
		v := d.Of(c)
		if v == 0 {
			continue
		}
		rounded := 0.
		if v >= delayLeast {
			steps := math.Round(math.Log(v/delayLeast) / math.Log(delayStep))
			rounded = delayLeast * math.Pow(delayStep, steps)
		}
		d = d.With(c, rounded)
	}
	return d
}

// least returns the lesser of two delays that are known, or the one that is.
func least(a, b float64) float64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// delaysOf returns the delays of sites, nil where none is known. Some of a host have measured for
// all of it, and of what several have the least counts: the others may have been busy. What lies
// farther away and is not known takes at least as long as what is nearer. Within a process only
// the site's own counts.
func (g *ground) delaysOf() []Delays {
	known := false
	hosts := make([]Delays, len(g.hosts))
	for i := range g.sites {
		d := &g.sites[i].Delays
		if *d == (Delays{}) {
			continue
		}
		known = true
		h := &hosts[g.host[i]]
		h.Host, h.Net, h.Far = least(h.Host, d.Host), least(h.Net, d.Net), least(h.Far, d.Far)
	}
	if !known {
		return nil
	}

	out := make([]Delays, len(g.sites))
	for i := range out {
		h := hosts[g.host[i]]
		h.Net = cmp.Or(h.Net, h.Host)
		h.Far = cmp.Or(h.Far, h.Net)
		h.Process = g.sites[i].Delays.Process
		out[i] = h
	}
	return out
}
