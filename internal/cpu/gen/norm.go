package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// norm writes the sums over a row in float64 and what is done with them. v1: three passes over a
// row in the first cache, 0.4 ns per element of a layer norm; what binds is the way to the row.
func norm(m *maker) {
	moment(m)
	normalise(m)
	rotate(m)
}

// squares appends s += (x-mean)² for float64. It changes x.
type squares struct {
	*maker
	mean reg.VecVirtual // in all lanes
}

// vector implements term.
func (q squares) vector(x, s reg.VecVirtual) {
	q.VSUBPD(q.mean, x, x)
	q.VFMADD231PD(x, x, s)
}

// scalar implements term.
func (q squares) scalar(x, s reg.Register) {
	q.VSUBSD(q.mean.AsX(), x, x)
	q.VFMADD231SD(x, x, s)
}

// ones appends s += x for float64.
type ones struct{ *maker }

// vector implements term.
func (q ones) vector(x, s reg.VecVirtual) { q.VADDPD(x, s, s) }

// scalar implements term.
func (q ones) scalar(x, s reg.Register) { q.VADDSD(x, s, s) }

// term is what a sum adds for an element x that was widened to float64.
type term interface {
	// vector adds the terms of a vector of elements to a vector of sums.
	vector(x, s reg.VecVirtual)
	// scalar adds the term of one element to one sum.
	scalar(x, s reg.Register)
}

// moment writes the sums over a row: of the elements, and of the squares of their distance to mean.
// In float64 they are exact enough that their order hardly matters, and no square overflows.
func moment(m *maker) {
	m.begin("sum", "x *float32, n int) (total float64", "adds x in float64.")
	total(m, ones{m})
	m.begin("squares", "x *float32, n int, mean float64) (total float64",
		"adds (x-mean)² in float64.")
	mean := m.vec()
	m.VBROADCASTSD(m.inMemory("mean"), mean)
	total(m, squares{m, mean})
}

// total adds n terms: four vectors of sums, then a vector at a time, then the rest one by one. The
// order depends on n alone, so equal rows have equal sums.
func total(m *maker, t term) {
	const unrolled = 4
	x, n, half := m.arg("x"), m.arg("n"), m.lanes/2

	// rest is the sum of the elements that fill no vector.
	rest := m.XMM()
	m.VXORPS(rest, rest, rest)
	sums := m.vectors(unrolled)
	for _, s := range sums {
		m.zero(s)
	}

	several := func(count int) {
		loop, out := m.label(), m.label()
		m.SUBQ(operand.U8(count*half), n)
		m.JL(to(out))
		m.Label(loop)
		for i, s := range sums[:count] {
			wide := m.vec()
			m.VCVTPS2PD(at(x, 4*half*i), wide)
			t.vector(wide, s)
		}
		m.ADDQ(operand.I32(int32(4*half*count)), x)
		m.SUBQ(operand.U8(count*half), n)
		m.JGE(to(loop))
		m.Label(out)
		m.ADDQ(operand.U8(count*half), n)
	}
	several(unrolled)
	several(1)

	one, done := m.label(), m.label()
	m.Label(one)
	m.DECQ(n)
	m.JL(to(done))
	wide := m.XMM()
	m.VCVTSS2SD(at(x, 0), rest, wide)
	t.scalar(wide, rest)
	m.ADDQ(operand.U8(4), x)
	m.JMP(to(one))
	m.Label(done)

	// Pairwise, then within the vector, then the rest.
	m.VADDPD(sums[1], sums[0], sums[0])
	m.VADDPD(sums[3], sums[2], sums[2])
	m.VADDPD(sums[2], sums[0], sums[0])
	m.foldWide(sums[0])
	m.VADDSD(rest, sums[0].AsX(), rest)
	m.Store(rest, m.Return("total"))
	m.end()
}

// foldWide adds the float64 of v pairwise; the result is in the lowest.
func (m *maker) foldWide(v reg.VecVirtual) {
	if m.lanes == 16 {
		high := m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), v, high)
		m.VADDPD(high, v.AsY(), v.AsY())
	}
	high := m.XMM()
	m.VEXTRACTF128(operand.U8(1), v.AsY(), high)
	m.VADDPD(high, v.AsX(), v.AsX())
	m.VPERMILPD(operand.U8(1), v.AsX(), high)
	m.VADDPD(high, v.AsX(), v.AsX())
}

// normalise writes the second pass of a norm over a row. Optional steps are jumps in the inner
// loop, which branch prediction makes free.
func normalise(m *maker) {
	m.begin("normalise", "dst, x *float32, n int, mean, inverse float64, "+
		"gain, bias, scale, shift *float32",
		"computes y = (x-mean)·inverse, y·gain+bias, y·(1+scale)+shift; nil leaves a step out.")
	dst, x, n := m.arg("dst"), m.arg("x"), m.arg("n")
	gain, bias, scale, shift := m.arg("gain"), m.arg("bias"), m.arg("scale"), m.arg("shift")
	mean, inverse := m.vec(), m.vec()
	m.VBROADCASTSD(m.inMemory("mean"), mean)
	m.VBROADCASTSD(m.inMemory("inverse"), inverse)
	one := m.constant(1)

	m.each(n, func(i reg.Register, only *mask) {
		v := m.vec()
		m.load(indexed(x, i), only, v)
		m.centre(v, mean, inverse)

		// v·f + b, with f from p, after more has changed it, and b from plus; nil leaves it out.
		factor := func(p, plus reg.Register, more func(f reg.VecVirtual)) {
			m.given(p, func() {
				f, b := m.vec(), m.vec()
				m.load(indexed(p, i), only, f)
				more(f)
				m.zero(b)
				m.given(plus, func() { m.load(indexed(plus, i), only, b) })
				m.VFMADD213PS(b, f, v)
			})
		}
		factor(gain, bias, func(reg.VecVirtual) {})
		factor(scale, shift, func(f reg.VecVirtual) { m.VADDPS(one, f, f) })

		m.store(v, only, indexed(dst, i))
	})
	m.end()
}

// centre appends v = (v-mean)·inverse, in float64.
func (m *maker) centre(v, mean, inverse reg.VecVirtual) {
	half := func(narrow reg.Register) reg.VecVirtual {
		w := m.vec()
		m.VCVTPS2PD(narrow, w)
		m.VSUBPD(mean, w, w)
		m.VMULPD(inverse, w, w)
		return w
	}

	if m.lanes == 16 {
		high := m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), v, high)
		low, top := half(v.AsY()), half(high)
		m.VCVTPD2PS(low, v.AsY())
		m.VCVTPD2PS(top, high)
		m.VINSERTF64X4(operand.U8(1), high, v, v)
		return
	}

	high := m.XMM()
	m.VEXTRACTF128(operand.U8(1), v, high)
	low, top := half(v.AsX()), half(high)
	m.VCVTPD2PSY(low, v.AsX())
	m.VCVTPD2PSY(top, high)
	m.VINSERTF128(operand.U8(1), high, v, v)
}

// rotate writes the rotation of pairs: a vector holds lanes/2 pairs, cos and sin are spread to both
// elements of a pair.
func rotate(m *maker) {
	m.begin("rotate", "y *float32, heads int, cos, sin *float32, half int",
		"rotates the half pairs of each head in place.")
	y, heads, half := m.arg("y"), m.arg("heads"), m.arg("half")
	cos, sin := m.arg("cos"), m.arg("sin")
	spread := m.held(m.static("spread", func(i int) uint32 { return uint32(i / 2) }, 16))

	width := m.GP64()
	m.MOVQ(half, width)
	m.ADDQ(width, width)
	m.Label("head")
	m.each(width, func(i reg.Register, only *mask) {
		c, s, v, crossed := m.vec(), m.vec(), m.vec(), m.vec()
		pairs := m.GP64()
		m.MOVQ(i, pairs)
		m.SHRQ(operand.U8(1), pairs)
		m.halfLoad(indexed(cos, pairs), only, half, pairs, c)
		m.halfLoad(indexed(sin, pairs), only, half, pairs, s)
		m.VPERMPS(c, spread, c)
		m.VPERMPS(s, spread, s)

		// Even elements are x0·c - x1·s, odd ones x1·c + x0·s.
		m.load(indexed(y, i), only, v)
		m.VPERMILPS(operand.U8(0xb1), v, crossed)
		m.VMULPS(s, crossed, crossed)
		m.VFMADDSUB213PS(crossed, c, v)
		m.store(v, only, indexed(y, i))
	})

	m.LEAQ(operand.Mem{Base: y, Index: width, Scale: 4}, y)
	m.DECQ(heads)
	m.JNZ(to("head"))
	m.end()
}

// halfLoad loads half a vector, or half minus done elements when only is set.
func (m *maker) halfLoad(p operand.Mem, only *mask, half, done reg.Register, v reg.VecVirtual) {
	if only == nil {
		if m.lanes == 16 {
			m.VMOVUPS(p, v.AsY())
		} else {
			m.VMOVUPS(p, v.AsX())
		}
		return
	}
	left := m.GP64()
	m.MOVQ(half, left)
	m.SUBQ(done, left)
	m.load(p, m.first(left), v)
}
