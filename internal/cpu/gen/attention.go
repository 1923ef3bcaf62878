package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// keyTile is package cpu's: the keys between two rescalings.
const keyTile = 64

// attention writes what attention needs beside the micro-kernel.
func attention(m *maker) {
	soften(m)
	for vecs := 1; vecs <= 2; vecs++ {
		weigh(m, vecs)
	}
	divide(m)
}

// running is the running softmax of a group of rows: four arrays of 16 numbers after each other.
type running struct{ base reg.Register }

func (r running) most(i reg.Register) operand.Mem { return indexed(r.base, i) }
func (r running) sums(i reg.Register) operand.Mem { return indexed(r.base, i).Offset(64) }

func (r running) shrink(i reg.Register) operand.Mem { return indexed(r.base, i).Offset(128) }
func (r running) origin(i reg.Register) operand.Mem { return indexed(r.base, i).Offset(192) }

// soften turns a tile of scores into probabilities: first the maximum of every row, then what
// becomes of the earlier tiles, for all rows at once, then the exponentials.
func soften(m *maker) {
	m.begin("soften", "p *float32, vecs int, scale float32, add *float32, step int, s *float32",
		"computes one tile of a running softmax; see kernels.soften.")
	p, vecs, s := m.arg("p"), m.arg("vecs"), running{m.arg("s")}
	scale := m.vec()
	m.VBROADCASTSS(m.inMemory("scale"), scale)
	maxima(m, p, vecs, scale, s)
	e := newExponential(m)
	lowest := m.constant(-3.4028234e38)
	zero := m.GP64()
	m.XORQ(zero, zero)
	for at := 0; at < m.mr; at += m.lanes {
		x, base := m.vec(), m.vec()
		m.VMAXPS(s.most(zero).Offset(4*at), m.held(lowest), base)
		m.VMOVUPS(s.shrink(zero).Offset(4*at), x) // the maximum before
		m.VMOVUPS(base, s.origin(zero).Offset(4*at))
		m.VSUBPS(base, x, x)
		e.of(x)
		m.VMOVUPS(x, s.shrink(zero).Offset(4*at))
		m.VMULPS(s.sums(zero).Offset(4*at), x, x)
		m.VMOVUPS(x, s.sums(zero).Offset(4*at))
	}
	exponentials(m, p, vecs, e, s)
	m.end()
}

// rowsOf runs body for every row of a tile of scores, then for every vector of it.
func rowsOf(m *maker, p, vecs reg.Register, row func(i reg.Register), vector func(at operand.Mem),
	after func(i reg.Register)) {
	i, j, at := m.GP64(), m.GP64(), m.GP64()
	rows, each := m.label(), m.label()
	m.XORQ(i, i)
	m.Label(rows)
	m.MOVQ(p, at)
	m.MOVQ(vecs, j)
	row(i)
	m.Label(each)
	vector(operand.Mem{Base: at})
	m.ADDQ(operand.U8(4*m.lanes), at)
	m.DECQ(j)
	m.JNZ(to(each))
	after(i)
	m.ADDQ(operand.I32(4*keyTile), p)
	m.INCQ(i)
	m.CMPQ(i, operand.U8(m.mr))
	m.JLT(to(rows))
}

// maxima scales the scores in place, adds what is to be added, and updates every row's maximum; the
// one before goes where shrink will be.
func maxima(m *maker, p, vecs reg.Register, scale reg.VecVirtual, s running) {
	add, step, from, top := m.arg("add"), m.arg("step"), m.GP64(), m.GP64()
	most, old := m.vec(), m.XMM()
	m.SHLQ(operand.U8(2), step)
	m.MOVQ(p, top)
	rowsOf(m, top, vecs, func(i reg.Register) {
		m.MOVQ(add, from)
		m.VBROADCASTSS(s.most(i), most)
		m.VMOVSS(s.most(i), old)
		m.VMOVSS(old, s.shrink(i))
	}, func(at operand.Mem) {
		x, y := m.vec(), m.vec()
		m.VMULPS(at, scale, x)
		m.given(add, func() {
			m.VMOVUPS(operand.Mem{Base: from}, y)
			m.VADDPS(y, x, x)
			m.ADDQ(operand.U8(4*m.lanes), from)
		})
		m.VMOVUPS(x, at)
		m.VMAXPS(most, x, most)
	}, func(i reg.Register) {
		m.fold(most, func(x, y reg.Register) { m.VMAXPS(x, y, y) })
		m.VMOVSS(most.AsX(), s.most(i))
		m.ADDQ(step, add)
	})
}

// exponentials turns scores into probabilities and adds their sums.
func exponentials(m *maker, p, vecs reg.Register, e *exponential, s running) {
	base, sum := m.vec(), m.vec()
	rowsOf(m, p, vecs, func(i reg.Register) {
		m.VBROADCASTSS(s.origin(i), base)
		m.zero(sum)
	}, func(at operand.Mem) {
		x := m.vec()
		m.VMOVUPS(at, x)
		m.VSUBPS(base, x, x)
		e.of(x)
		m.VMOVUPS(x, at)
		m.VADDPS(x, sum, sum)
	}, func(i reg.Register) {
		m.fold(sum, func(x, y reg.Register) { m.VADDPS(x, y, y) })
		m.VADDSS(s.sums(i), sum.AsX(), sum.AsX())
		m.VMOVSS(sum.AsX(), s.sums(i))
	})
}

// fold combines the lanes of v pairwise; the result is in the lowest.
func (m *maker) fold(v reg.VecVirtual, combine func(x, y reg.Register)) {
	if m.lanes == 16 {
		high := m.YMM()
		m.VEXTRACTF64X4(operand.U8(1), v, high)
		combine(high, v.AsY())
	}
	high := m.XMM()
	m.VEXTRACTF128(operand.U8(1), v.AsY(), high)
	combine(high, v.AsX())
	m.VPERMILPS(operand.U8(0x4e), v.AsX(), high)
	combine(high, v.AsX())
	m.VPERMILPS(operand.U8(0xb1), v.AsX(), high)
	combine(high, v.AsX())
}

// weigh writes the micro-kernel of probabilities and values: values are read in place, and the
// tile's sum is formed on its own before the earlier ones are shrunk and added.
func weigh(m *maker, vecs int) {
	m.begin(fmt.Sprintf("weigh%d", vecs*m.lanes),
		"o *float32, ld int, p *float32, n int, v *float32, step int, shrink *float32",
		"computes o = o·shrink + p·v for mr rows; see kernels.weigh.")
	o, ld, p, n := m.arg("o"), m.arg("ld"), m.arg("p"), m.arg("n")
	v, step, shrink := m.arg("v"), m.arg("step"), m.arg("shrink")
	m.SHLQ(operand.U8(2), ld)
	m.SHLQ(operand.U8(2), step)
	sums := make([][]reg.VecVirtual, m.mr)
	for i := range sums {
		sums[i] = m.vectors(vecs)
		for _, sum := range sums[i] {
			m.zero(sum)
		}
	}
	m.Label("loop")
	b := m.vectors(vecs)
	for j, x := range b {
		m.VMOVUPS(at(v, 4*m.lanes*j), x)
	}
	for i, row := range sums {
		x := m.vec()
		m.VBROADCASTSS(at(p, 4*keyTile*i), x)
		for j, sum := range row {
			m.VFMADD231PS(x, b[j], sum)
		}
	}
	m.ADDQ(step, v)
	m.ADDQ(operand.U8(4), p)
	m.DECQ(n)
	m.JNZ(to("loop"))
	for i, row := range sums {
		x := m.vec()
		m.VBROADCASTSS(at(shrink, 4*i), x)
		for j, sum := range row {
			place := at(o, 4*m.lanes*j)
			m.VFMADD231PS(place, x, sum)
			m.VMOVUPS(sum, place)
		}
		m.ADDQ(ld, o)
	}
	m.end()
}

// divide finishes a row of attention.
func divide(m *maker) {
	m.begin("divide", "dst, y *float32, n int, by float32", "computes dst = y/by.")
	dst, y, n, by := m.arg("dst"), m.arg("y"), m.arg("n"), m.vec()
	m.VBROADCASTSS(m.inMemory("by"), by)
	m.each(n, func(i reg.Register, only *mask) {
		v := m.vec()
		m.load(indexed(y, i), only, v)
		m.VDIVPS(by, v, v)
		m.store(v, only, indexed(dst, i))
	})
	m.end()
}
