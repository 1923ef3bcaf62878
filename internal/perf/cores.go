package perf

import (
	"math"
	"slices"
)

// measured reports whether it is known what clips take there beside what they compute: nothing is
// measured without an error.
func (d Device) measured() bool { return d.Overhead != (Overhead{}) }

// OneCore returns what one core of a CPU is while all others are at work, as a device.
func (d Device) OneCore() Device {
	n := float64(max(1, d.Cores))
	peak := map[string]float64{}
	for t, v := range d.Peak {
		peak[t] = v / n
	}

	// All cores being at work, each has its part of what passes to and from memory.
	d.Peak, d.Bandwidth = peak, d.Bandwidth/n
	if d.Shared != nil {
		d.Efficiency, d.Shared = d.Shared, nil
	}
	d.Cores = min(d.Cores, 1)
	return d
}

// crowd is how many ranks a host has: all, and how many of these compute at a time.
type crowd struct{ all, working float64 }

// countRanks counts the ranks of hosts. Only those of this clip count, as nothing else runs there.
// Where several share a core, those of groups that have fewer windows leave it to the others once
// they are done.
func (c *clip) countRanks() {
	c.crowds = map[string]crowd{}
	most := float64(slices.Max(c.runs))
	for rank, n := range c.pool.Nodes {
		on := c.crowds[n.Host]
		on.all++
		on.working += float64(c.runs[rank/c.mesh.Ulysses/c.mesh.CFG]) / most
		c.crowds[n.Host] = on
	}
}

// on returns the ranks of a node's host. Cores that have one each are not shared.
func (c *clip) on(n Node) crowd {
	if n.Host == "" {
		return crowd{1, 1}
	}
	on := c.crowds[n.Host]
	on.working = max(on.working, min(on.all, float64(n.Device.Cores)))
	return on
}

// shared returns a node's device as one of so many ranks of its host sees it, and by how many a
// core is shared. The ranks have the cores between them.
func (c *clip) shared(n Node, ranks float64) (d Device, crowd float64) {
	d = n.Device
	if d.Cores == 0 {
		return d, 1
	}
	part := 1 / ranks

	peak := map[string]float64{}
	for t, v := range d.Peak {
		peak[t] = v * part
	}

	// With fewer threads less is lost by waiting for the slowest of them. In between it goes by
	// the logarithm of their number.
	threads := max(1, part*float64(d.Cores))
	reached := map[string]Efficiency{}
	for t, e := range d.Efficiency {
		if alone, known := d.Shared[t]; known && d.Cores > 1 {
			e = e.between(alone, math.Log(threads)/math.Log(float64(d.Cores)))
		}
		reached[t] = e
	}

	// Memory is as far away for all of them; what a core does for several takes that much longer.
	d.Peak, d.Bandwidth, d.Efficiency = peak, d.Bandwidth*part, reached
	return d, max(1, 1/(part*float64(d.Cores)))
}

// between returns e for 1, o for 0, and what is between them.
func (e Efficiency) between(o Efficiency, at float64) Efficiency {
	mix := func(a, b float64) float64 { return at*a + (1-at)*b }
	return Efficiency{Linear: mix(e.Linear, o.Linear), Attention: mix(e.Attention, o.Attention),
		Convolution: mix(e.Convolution, o.Convolution), Memory: mix(e.Memory, o.Memory), From: e.From,
		Softmax: mix(e.Softmax, o.Softmax), Layer: mix(e.Layer, o.Layer),
		Weight: mix(e.Weight, o.Weight), Idle: mix(e.Idle, o.Idle),
		First: mix(e.First, o.First), Decoded: mix(e.Decoded, o.Decoded), Frame: mix(e.Frame, o.Frame)}
}

// idle is how many times as long a pass takes as it computes, where so many ranks share a core:
// each uses the time in which others have nothing to do.
func (e Efficiency) idle(crowd float64) float64 { return 1 + e.Idle*max(0, 2-crowd) }

// Slower returns what is reached where passes and decodings of clips take so many times as long as
// what was timed.
func (e Efficiency) Slower(pass, decode float64) Efficiency {
	e.Idle = max(0, pass-1)
	e.Convolution = min(1, e.Convolution/decode)
	e.Decoded, e.Frame = e.Decoded*decode, e.Frame*decode
	return e
}
