package media

import (
	"math"

	"github.com/longtake/longtake/internal/tensor"
)

// FromRGB maps 0..255 to -1..1 as diffusers' VideoProcessor does, in float32. Both slices have the
// same length.
func FromRGB(dst []float32, src []uint8) {
	// The order of roundings is torch's: multiply, round, then convert.
	for i, v := range src {
		dst[i] = float32(2*(float32(v)/255)) - 1
	}
}

// ToRGB maps values of -1..1 to 0..255 as diffusers' VideoProcessor does: halved, shifted by a
// half, clamped, and rounded half to even. Values that are NaN or infinite are a
// *tensor.NotFiniteError, since no pixel stands for them. Both slices have the same length.
func ToRGB(dst []uint8, src []float32) error {
	if err := tensor.CheckFinite("a picture", src); err != nil {
		return err
	}
	for i, v := range src {
		x := max(v/2+0.5, 0)
		dst[i] = uint8(math.RoundToEven(float64(min(x, 1) * 255)))
	}
	return nil
}
