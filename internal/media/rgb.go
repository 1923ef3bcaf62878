package media

import (
	"math"

	"github.com/longtake/longtake/internal/tensor"
)

// FromRGB maps 0..255 to -1..1 as diffusers' VideoProcessor does. Both slices have the same length.
func FromRGB(dst []float32, src []uint8) {
	for i, v := range src {
		dst[i] = float32(2*(float32(v)/255)) - 1
	}
}

// ToRGB maps values of -1..1 to 0..255 as diffusers' VideoProcessor does: halved, shifted, clamped
// and rounded half to even. Values that are NaN or infinite are a *tensor.NotFiniteError, for no
// pixel stands for them. Both slices have the same length.
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
