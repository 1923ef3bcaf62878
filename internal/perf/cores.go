package perf

import "math"

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

// shared returns a node's device as one of its host's ranks sees it, and by how many ranks a core
// is shared. The ranks of a host have its cores between them.
func (c *clip) shared(n Node) (d Device, crowd float64) {
	d = n.Device
	if d.Cores == 0 {
		return d, 1
	}

	// Only ranks of this clip count: nothing else runs there.
	ranks := 0
	for _, o := range c.pool.Nodes {
		if o.Host == n.Host && n.Host != "" {
			ranks++
		}
	}
	part := 1 / float64(max(ranks, 1))

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
		Weight: mix(e.Weight, o.Weight),
		First:  mix(e.First, o.First), Decoded: mix(e.Decoded, o.Decoded), Frame: mix(e.Frame, o.Frame)}
}
