package wan

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
)

// Timesteps gives every own token its timestep, 0 to 1000: Values[Index[i]], or Values[0] when
// Index is nil. A pass usually has one; with given latents, as in extension, the given frames have
// timestep 0 and the others the step's, so there are two.
type Timesteps struct {
	Values []float32 // distinct, at most timestepsMax
	Index  []int32   // [own tokens], indexes into Values; nil: all have Values[0]
}

// check refuses timesteps that do not fit a sequence of so many own tokens.
func (ts Timesteps) check(tokens, limit int) error {
	if len(ts.Values) == 0 || len(ts.Values) > limit {
		return fmt.Errorf("%d distinct timesteps; 1 to %d are allowed", len(ts.Values), limit)
	}
	if ts.Index != nil && len(ts.Index) != tokens {
		return fmt.Errorf("%d timestep indexes for %d tokens", len(ts.Index), tokens)
	}
	for _, i := range ts.Index {
		if i < 0 || int(i) >= len(ts.Values) {
			return fmt.Errorf("timestep index %d of %d", i, len(ts.Values))
		}
	}
	return nil
}

// sinusoid returns [len(values), dim]: cosines, then sines, of value·10000^(-i/half). It is
// diffusers' Timesteps with flip_sin_to_cos and no frequency shift, and rounds exponent, frequency
// and angle to float32 where the reference does.
func sinusoid(values []float32, dim int) []float32 {
	half := dim / 2
	out := make([]float32, len(values)*dim)
	for r, v := range values {
		row := out[r*dim : (r+1)*dim]
		for i := range half {
			exponent := float32(-math.Log(theta)*float64(i)) / float32(half)
			a := float64(v * float32(math.Exp(float64(exponent))))
			row[i], row[half+i] = float32(math.Cos(a)), float32(math.Sin(a))
		}
	}
	return out
}

// embedTime fills the time embedding temb [values, d] and its projection tproj [values, 6d]
// (WanTimeTextImageEmbedding). Products are in float32 whatever the type of the others.
func (s *Sequence) embedTime(ts Timesteps) {
	t, dev, n := s.t, s.t.dev, len(ts.Values)
	freq, hidden := s.freq.RowRange(0, n), s.timeHidden.RowRange(0, n)
	s.temb, s.tproj = s.tembAll.RowRange(0, n), s.tprojAll.RowRange(0, n)
	dev.Upload(freq, sinusoid(ts.Values, t.cfg.FreqDim))
	dev.Linear(hidden, freq, t.time1, compute.Epilogue{Act: compute.SiLU}) // to [values, d]
	dev.Linear(s.temb, hidden, t.time2, compute.Epilogue{})
	dev.Activate(hidden, s.temb, compute.SiLU)
	dev.Linear(s.tproj, hidden, t.timeP, compute.Epilogue{}) // [values, d] to [values, 6d]
	s.index = ts.Index
}

// modulation returns part i, d columns, of the rows in m, to be applied to each token by the row of
// its timestep. The result is valid until part i is asked for again.
func (s *Sequence) modulation(m compute.Mat, i int) *compute.RowVec {
	d := s.t.cfg.Dim()
	s.parts[i] = compute.RowVec{M: m.ColRange(i*d, (i+1)*d), Index: s.index}
	return &s.parts[i]
}
