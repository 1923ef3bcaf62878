package tensor

import "math"

// BF16ToFloat32 widens a bfloat16, which is the upper half of a float32. It is exact.
func BF16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F16ToFloat32 widens an IEEE 754 half, subnormals, infinities and NaN included. It is exact.
func F16ToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: a multiple of 2^-24, which float32 holds as a normal number
		v := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	// The bias of the exponent is 15 in a half, 127 in a float32.
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
