package wan

import (
	"math"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// theta is the base of the rotary frequencies (RoFormer, Su et al. 2021); the same base serves the
// sinusoids of timesteps.
const theta = 10000

// ropeTables returns the cosines and sines, [own.Len(), head_dim/2] each, of the tokens in own, in
// a window that begins at frame first of tokens. As in WanRotaryPosEmbed, a head's pairs of columns
// are split between time, height and width, a third each and the remainder to time. A token's
// position is its coordinate in patches. Angles are computed in float64 and rounded once.
func ropeTables(cfg model.TransformerConfig, g partition.Grid, own partition.Range,
	first int) (cos, sin []float32) {
	// Columns per axis, all even: the pairs of an axis share its position.
	spatial := 2 * (cfg.AttentionHeadDim / 6)
	dims := [3]int{cfg.AttentionHeadDim - 2*spatial, spatial, spatial}

	half := cfg.AttentionHeadDim / 2
	cos, sin = make([]float32, 0, own.Len()*half), make([]float32, 0, own.Len()*half)

	for token := own.Lo; token < own.Hi; token++ {
		t, h, w := g.Coordinate(token)
		for axis, pos := range [3]int{first + t, h, w} {
			for i := range dims[axis] / 2 {
				freq := 1 / math.Pow(theta, float64(2*i)/float64(dims[axis])) // θ^(-2i/D)
				s, c := math.Sincos(float64(pos) * freq)
				cos, sin = append(cos, float32(c)), append(sin, float32(s))
			}
		}
	}
	return cos, sin
}
