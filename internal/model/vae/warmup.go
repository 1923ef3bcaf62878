package vae

import "slices"

// warmUp says how many latent frames before the first wanted one each layer has to begin. A causal
// convolution looks back at a few frames, so a frame depends on finitely many latent frames, and
// the further a layer is from the output, the earlier it has to begin. It begins with zeros in its
// cache, as at a clip's start. Its first frames are therefore wrong and used for nothing but later
// caches; wanted ones have the bits that they have in the whole clip.
type warmUp struct {
	trunk int   // for the layers up to the middle block
	steps []int // for each step of Decoder.reads; never more than for the step before it
}

// warmUp counts back from the output: n is how many extra frames the layer needs as input before
// the first wanted one, and rate is the frames that a latent frame has become at that layer. Every
// causal convolution adds its history; temporal upsampling halves what was counted so far.
func (d *Decoder) warmUp() warmUp {
	var e warmUp
	n, rate := history, d.cfg.TemporalScale()
	record := func() { e.steps = append(e.steps, (n+rate-1)/rate) }
	record()

	for _, u := range slices.Backward(d.ups) {
		if u.spatial != nil {
			if u.temporal != nil {
				n, rate = (n+1)/2+history, rate/2
			}
			record()
		}
		for range u.res {
			n += 2 * history
			record()
		}
	}

	slices.Reverse(e.steps)

	// The trunk runs at one frame for each latent frame: two residuals of two convolutions, and
	// conv_in.
	e.trunk = n + len(d.mid.res)*2*history + history
	return e
}

// stepsDue returns how many steps latent frame t goes through if from is the first wanted one: all
// steps whose warm-up has begun. Steps begin in the order in which they run.
func (e warmUp) stepsDue(t, from int) int {
	// The first step that begins later than t ends what is due.
	for i, n := range e.steps {
		if t < from-n {
			return i
		}
	}
	return len(e.steps)
}
