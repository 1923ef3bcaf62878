package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose writes the function that packs weights, queries and values: blocks of lanes x lanes are
// transposed in registers, in steps that double the size of what is in order. Going through
// registers reads and writes whole vectors, where a loop over elements would touch a cache line for
// each of them.
func transpose(m *maker) {
	m.begin("transpose", "dst *float32, stride int, rows **float32, n int",
		"computes dst[k*stride+i] = rows[i][k] for as many rows as a vector has lanes.")
	dst, stride, rows, n := m.arg("dst"), m.arg("stride"), m.arg("rows"), m.arg("n")
	m.SHLQ(operand.U8(2), stride)

	// turned loads lanes columns of all rows and gives place the columns in order.
	turned := func(i reg.Register, only *mask, place func(v reg.VecVirtual)) {
		// One row per register; the last columns may fill only some lanes.
		r := m.vectors(m.lanes)
		for j, v := range r {
			p := m.GP64()
			m.MOVQ(at(rows, 8*j), p)
			m.load(indexed(p, i), only, v)
		}

		quads(m, r)
		if m.lanes == 8 {
			halves(m, r)
		} else {
			quarters(m, r)
		}
		for _, v := range r {
			place(v)
		}
	}

	// The last columns are stored one by one until none is left, since dst ends there.
	left, done := m.GP64(), m.label()
	m.MOVQ(n, left)
	m.each(n, func(i reg.Register, only *mask) {
		turned(i, only, func(v reg.VecVirtual) {
			m.VMOVUPS(v, at(dst, 0))
			m.ADDQ(stride, dst)
			if only != nil {
				m.DECQ(left)
				m.JZ(to(done))
			}
		})
		if only == nil {
			m.SUBQ(operand.U8(m.lanes), left)
		}
	})
	m.Label(done)
	m.end()
}

// quads transposes within groups of four rows: afterwards quarter q of r[4g+c] holds column 4q+c
// of rows 4g to 4g+3.
func quads(m *maker, r []reg.VecVirtual) {
	for g := 0; g < len(r); g += 4 {
		t := [4]reg.VecVirtual{m.vec(), m.vec(), m.vec(), m.vec()}
		for i := range 2 {
			m.VUNPCKLPS(r[g+2*i+1], r[g+2*i], t[2*i])
			m.VUNPCKHPS(r[g+2*i+1], r[g+2*i], t[2*i+1])
		}
		for i := range 2 {
			m.VUNPCKLPD(t[2+i], t[i], r[g+2*i])
			m.VUNPCKHPD(t[2+i], t[i], r[g+2*i+1])
		}
	}
}

// halves finishes the transposition of eight rows: it exchanges the upper half of one register for
// the lower half of another.
func halves(m *maker, r []reg.VecVirtual) {
	for c := range 4 {
		v := m.vec()
		m.VPERM2F128(operand.U8(0x20), r[4+c], r[c], v)
		m.VPERM2F128(operand.U8(0x31), r[4+c], r[c], r[4+c])
		r[c] = v
	}
}

// quarters finishes the transposition of sixteen rows: a 4 x 4 transposition of quarters, in two
// rounds of picking the even and the odd ones of two registers.
func quarters(m *maker, r []reg.VecVirtual) {
	const even, odd = operand.U8(0x88), operand.U8(0xdd)
	for c := range 4 {
		x0, x1, y0, y1 := m.vec(), m.vec(), m.vec(), m.vec()
		m.VSHUFF32X4(even, r[4+c], r[c], x0)
		m.VSHUFF32X4(odd, r[4+c], r[c], x1)
		m.VSHUFF32X4(even, r[12+c], r[8+c], y0)
		m.VSHUFF32X4(odd, r[12+c], r[8+c], y1)
		m.VSHUFF32X4(even, y0, x0, r[c])
		m.VSHUFF32X4(even, y1, x1, r[4+c])
		m.VSHUFF32X4(odd, y0, x0, r[8+c])
		m.VSHUFF32X4(odd, y1, x1, r[12+c])
	}
}
