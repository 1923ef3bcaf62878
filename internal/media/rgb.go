package media

import "math"

// FromRGB maps 0..255 to -1..1 as diffusers' VideoProcessor does. Both slices have the same length.
func FromRGB(dst []float32, src []uint8) {
	for i, v := range src {
		dst[i] = float32(2*(float32(v)/255)) - 1
	}
}

// ToRGB maps values of -1..1 to 0..255 as diffusers' VideoProcessor does: halved, shifted, clamped
// and rounded half to even. What is not a number becomes 0. Both slices have the same length.
func ToRGB(dst []uint8, src []float32) {
	for i, v := range src {
		x := v/2 + 0.5
		if !(x > 0) { // also NaN
			x = 0
		}
		dst[i] = uint8(math.RoundToEven(float64(min(x, 1) * 255)))
	}
}
