package vae

import "slices"

// A causal convolution looks back at a few frames, so a frame depends on finitely many latent
// frames, and the further a layer is from the output, the further back it has to begin: with zeros
// in its caches, like at a clip's start. What it makes of the first frames is wrong and counts for
// nothing; what counts has the bits it has in the whole clip.

// early says how many latent frames before the first one that counts layers have to begin.
type early struct {
	trunk int   // up to the middle block
	steps []int // those of Decoder.reads; none begins before the one in front of it
}

// early counts backwards from the output: frames that are needed before the first that counts, at
// the layer's rate, of which a latent frame has so many.
func (d *Decoder) early() early {
	var e early
	n, rate := history, d.cfg.TemporalScale()
	begin := func() { e.steps = append(e.steps, (n+rate-1)/rate) }
	begin()
	for _, u := range slices.Backward(d.ups) {
		if u.spatial != nil {
			if u.temporal != nil {
				n, rate = (n+1)/2+history, rate/2
			}
			begin()
		}
		for range u.res {
			n += 2 * history
			begin()
		}
	}
	slices.Reverse(e.steps)
	e.trunk = n + len(d.mid.res)*2*history + history
	return e
}

// due returns how many steps latent frame t goes through, where from is the first that counts.
func (e early) due(t, from int) int {
	for i, n := range e.steps {
		if t < from-n {
			return i
		}
	}
	return len(e.steps)
}
