package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// narrow writes what turns float32 into bfloat16: to pairs where products take them, elsewhere to
// float32 whose lower half is zero, which multiply as they are. Lanes are rounded alone, so a row
// gives the same bits wherever it is cut.
func narrow(m *maker) {
	if m.pairs {
		pack(m)
		return
	}
	m.begin("narrow", "dst, x *float32, n int", "rounds x to bfloat16, ties to even.")
	dst, x, n := m.arg("dst"), m.arg("x"), m.arg("n")
	r := newRounding(m)
	m.each(n, func(i reg.Register, only *mask) {
		v := m.vec()
		m.load(indexed(x, i), only, v)
		r.of(v)
		m.store(v, only, indexed(dst, i))
	})
	m.end()
	widen(m)
}

// widen writes the way back from two bytes, for whole vectors: panels of weights have no others.
// Nothing is rounded: every bfloat16 is a float32.
func widen(m *maker) {
	m.begin("widen", "dst *float32, x *uint16, n int", "turns bfloat16 into float32, whole vectors.")
	dst, x, n := m.arg("dst"), m.arg("x"), m.arg("n")
	m.each(n, func(i reg.Register, only *mask) {
		if only != nil {
			return
		}
		v, halves := m.vec(), operand.Mem{Base: x, Index: i, Scale: 2}
		m.VPMOVZXWD(halves, v)
		m.VPSLLD(operand.U8(16), v, v)
		m.VMOVUPS(v, indexed(dst, i))
	})
	m.end()
}

// rounding appends the rounding of float32 to bfloat16 in integers: half of the last place that
// stays is added, less one where that place is even, and the rest cut off. NaN would turn into
// another number if all its bits were in the rest; it becomes the quiet one first.
type rounding struct {
	*maker
	half, one, keep operand.Op // 0x7fff, 1 and the mask of the upper half, in all lanes
}

// newRounding loads the constants.
func newRounding(m *maker) *rounding {
	word := func(name string, bits uint32) operand.Op {
		return m.held(m.static(name, func(int) uint32 { return bits }, 16))
	}
	return &rounding{m, word("half", 0x7fff), word("one", 1), word("keep", 0xffff0000)}
}

// of appends v = v rounded to bfloat16.
func (r *rounding) of(v reg.VecVirtual) {
	odd := r.vec()

	// The sum with zero makes a NaN quiet and leaves everything else alone.
	r.VADDPS(r.constantZero(), v, v)
	r.VPSRLD(operand.U8(16), v, odd)

	if r.lanes == 16 {
		r.VPANDD(r.one, odd, odd)
		r.VPADDD(r.half, odd, odd)
		r.VPADDD(odd, v, odd)
		r.VPANDD(r.keep, odd, odd)
		k := r.K()
		r.VCMPPS(operand.U8(3), v, v, k) // unordered
		r.VPANDD(r.keep, v, k, odd)
		r.VMOVUPS(odd, v)
		return
	}

	// AVX2 has no masks: both results, and a blend by where v is a NaN.
	nan := r.vec()
	r.VPAND(r.one, odd, odd)
	r.VPADDD(r.half, odd, odd)
	r.VPADDD(odd, v, odd)
	r.VCMPPS(operand.U8(3), v, v, nan)
	r.VBLENDVPS(nan, v, odd, v)
	r.VPAND(r.keep, v, v)
}

// constantZero returns a vector of zeros.
func (m *maker) constantZero() reg.VecVirtual {
	z := m.vec()
	m.zero(z)
	return z
}

// pack writes the packing of a row: steps 2i and 2i+1 become pair i; a missing last step is zero.
func pack(m *maker) {
	m.begin("narrow", "dst, x *float32, n int", "rounds x to pairs of bfloat16.")
	dst, x, n := m.arg("dst"), m.arg("x"), m.arg("n")
	loop, rest, done := m.label(), m.label(), m.label()
	low, high := m.vec(), m.vec()

	// 32 elements become a vector of 16 pairs.
	m.SUBQ(operand.U8(32), n)
	m.JL(to(rest))
	m.Label(loop)
	out := m.vec()
	m.VMOVUPS(at(x, 0), low)
	m.VMOVUPS(at(x, 64), high)
	m.round(low, high, out)
	m.VMOVUPS(out, at(dst, 0))
	m.ADDQ(operand.U8(64), dst)
	m.ADDQ(operand.I32(128), x)
	m.SUBQ(operand.U8(32), n)
	m.JGE(to(loop))

	// The last vector, of which only the pairs that exist are stored.
	m.Label(rest)
	m.ADDQ(operand.U8(32), n)
	m.JZ(to(done))
	m.remaining(n, func(part int, only *mask) {
		m.load(at(x, 64*part), only, []reg.VecVirtual{low, high}[part])
	})
	last, pairs := m.vec(), m.GP64()
	m.round(low, high, last)
	m.LEAQ(at(n, 1), pairs)
	m.SHRQ(operand.U8(1), pairs)
	m.store(last, m.first(pairs), at(dst, 0))
	m.Label(done)
	m.end()
}

// remaining calls do with the masks of the two vectors that hold the first n of 32 elements.
func (m *maker) remaining(n reg.Register, do func(part int, only *mask)) {
	some, shifted := m.GP64(), m.GP64()
	m.MOVQ(operand.I32(-1), some)
	m.BZHIQ(n, some, some)
	for part := range 2 {
		k := m.K()
		m.MOVQ(some, shifted)
		m.SHRQ(operand.U8(16*part), shifted)
		m.KMOVW(shifted.As32(), k)
		do(part, &mask{k: k})
	}
}
