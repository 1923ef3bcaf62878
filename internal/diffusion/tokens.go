package diffusion

import "github.com/longtake/longtake/internal/partition"

// Tokens gathers the tokens of own from a latent [C, T, H, W]: [own, pt·ph·pw·C], in the order of
// values in which the transformer reads and writes them.
func Tokens(latent []float32, channels int, g partition.Grid, own partition.Range) []float32 {
	out := make([]float32, own.Len()*channels*g.PT*g.PH*g.PW)
	walk(channels, g, own, func(i, c, t, place int) { out[i] = latent[(c*g.T+t)*g.H*g.W+place] })
	return out
}

// Scatter writes the tokens of own, [own, pt·ph·pw·C], back into a latent [C, T, H, W]; the inverse
// of Tokens.
func Scatter(latent, tokens []float32, channels int, g partition.Grid, own partition.Range) {
	walk(channels, g, own, func(i, c, t, place int) { latent[(c*g.T+t)*g.H*g.W+place] = tokens[i] })
}

// walk calls f for every value i of the own tokens, in order, with its channel, its frame and its
// index h·W + w within the frame.
func walk(channels int, g partition.Grid, own partition.Range, f func(i, c, t, place int)) {
	i := 0
	for n := own.Lo; n < own.Hi; n++ {
		t0, h0, w0 := g.Coordinate(n)
		for p := range g.PT * g.PH * g.PW {
			t := t0*g.PT + p/(g.PH*g.PW)
			h, w := h0*g.PH+p/g.PW%g.PH, w0*g.PW+p%g.PW
			for c := range channels {
				f(i, c, t, h*g.W+w)
				i++
			}
		}
	}
}
