package engine

import (
	"errors"

	"github.com/longtake/longtake/internal/diffusion"
)

// noiseSource draws the noise of the whole latent from the clip's generator, again and again: once
// for its beginning, and with some schedulers once for each step. Every rank draws all of it and
// keeps its own, so that neither the mesh nor a resumption changes it.
type noiseSource struct {
	r     *run
	gen   *diffusion.Generator
	drawn int // so far
}

// draw returns the next noise of the tokens that the rank holds, [tokens, token width].
func (n *noiseSource) draw() []float32 {
	s, r := n.r.Plan.Spec, n.r
	noise := diffusion.WindowNoise(n.gen, r.e.folder.Transformer.OutChannels, r.denoised, s.Window,
		s.Overlap)
	n.drawn++
	x := make([]float32, 0, r.windows.Values())
	for _, h := range r.layout.Held(r.Rank) {
		x = append(x, noise.Tokens(h)...)
	}
	return x
}

// freshNoise returns the noise that a scheduler adds after a step. An attempt that resumes draws
// what earlier ones have used, and drops it.
func (r *run) freshNoise(step int) ([]float32, error) {
	if r.noise == nil || r.noise.drawn > step+1 {
		return nil, errors.New("the noise of this step is not there")
	}
	for r.noise.drawn < step+1 {
		r.noise.draw()
	}
	return r.noise.draw(), nil
}
