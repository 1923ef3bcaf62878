package media

import "math"

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
