package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// finish writes the epilogue of rows: bias, activation, factors, residual, in one pass over a row
// while the product's tile is in cache. v1, a row to a call: 0.4 ns per element of GELU against 4
// in portable Go; v2, all rows of a tile in one call, two vectors at a time, and no division: 0.3.
func finish(m *maker) {
	m.begin("finish", "dst, y *float32, rows, n int, bias, mul, gate, residual *float32, act, "+
		"dstStep, yStep, mulStep, gateStep, residStep int",
		"computes dst = act(y+bias)·mul·gate + residual; nil leaves a step out.")
	rows := m.inMemory("rows")
	dst, y, n := m.arg("dst"), m.arg("y"), m.arg("n")
	bias, mul, gate := m.arg("bias"), m.arg("mul"), m.arg("gate")
	residual, act := m.arg("residual"), m.arg("act")
	s := newSigmoid(m)

	m.Label("row")
	m.several(n, 2, func(vectors int, i reg.Register, only *mask) {
		v := m.vectors(vectors)

		// with does something with the vectors of an operand, unless it is nil.
		place := func(p reg.Register, j int) operand.Mem {
			return operand.Mem{Base: p, Index: i, Scale: 4, Disp: 4 * m.lanes * j}
		}
		with := func(p reg.Register, do func(x, v reg.VecVirtual)) {
			m.given(p, func() {
				for j := range v {
					x := m.vec()
					m.load(place(p, j), only, x)
					do(x, v[j])
				}
			})
		}
		times := func(x, v reg.VecVirtual) { m.VMULPS(x, v, v) }
		plus := func(x, v reg.VecVirtual) { m.VADDPS(x, v, v) }

		for j := range v {
			m.load(place(y, j), only, v[j])
		}
		with(bias, plus)
		s.activate(act, v)
		with(mul, times)
		with(gate, times)
		with(residual, plus)
		for j := range v {
			m.store(v[j], only, place(dst, j))
		}
	})

	// On to the next row. The steps of nil operands are 0; the bias is the same for all rows.
	for _, p := range []struct {
		at   reg.Register
		step string
	}{{dst, "dstStep"}, {y, "yStep"}, {mul, "mulStep"}, {gate, "gateStep"}, {residual, "residStep"}} {
		step := m.arg(p.step)
		m.LEAQ(operand.Mem{Base: p.at, Index: step, Scale: 4}, p.at)
	}
	m.DECQ(rows)
	m.JNZ(to("row"))
	m.end()
}

// sigmoid appends the activations, v·sigmoid(-z) as v / (1+2^z).
type sigmoid struct {
	*power
	log2e, linear, cubic operand.Op     // factors of v in z, powers of two
	large                reg.VecVirtual // the largest float32, see divide
}

// newSigmoid loads the constants that the activations need.
func newSigmoid(m *maker) *sigmoid {
	const twice = -1.5957691216057308 // -2·sqrt(2/pi)
	s := &sigmoid{power: newPower(m), log2e: m.constant(-log2e), linear: m.constant(twice * log2e),
		cubic: m.constant(0.044715 * twice * log2e)}
	if m.lanes == 16 {
		s.large = m.held(m.constant(math.MaxFloat32))
	}
	return s
}

// activate appends what act says: nothing (0), GELU's approximation by tanh, whose sigmoid is of
// 2·sqrt(2/pi)·(v+0.044715·v³) and cancels nowhere (1), or SiLU, whose sigmoid is of v (2).
func (s *sigmoid) activate(act reg.Register, v []reg.VecVirtual) {
	gelu, both, done := s.label(), s.label(), s.label()
	s.CMPQ(act, operand.U8(1))
	s.JL(to(done))
	z := s.vectors(len(v))
	s.JE(to(gelu))

	// SiLU: z = -v·log2(e).
	for j := range v {
		s.VMULPS(s.log2e, v[j], z[j])
	}
	s.JMP(to(both))

	// GELU: z = -2·sqrt(2/pi)·log2(e)·(v+0.044715·v³).
	s.Label(gelu)
	for j := range v {
		s.VMULPS(v[j], v[j], z[j])
		s.VMULPS(s.cubic, z[j], z[j])
		s.VADDPS(s.linear, z[j], z[j])
		s.VMULPS(v[j], z[j], z[j])
	}

	s.Label(both)
	for j := range v {
		s.of(z[j])
		s.VADDPS(s.one, z[j], z[j])
		s.divide(v[j], z[j])
	}
	s.Label(done)
}

// divide appends v = v/z for z >= 1, where z may be infinite: by an estimate of 1/z, good to 14
// bits, and one step of Newton's method. A division of 16 lanes takes 16 cycles; AVX2 divides.
func (s *sigmoid) divide(v, z reg.VecVirtual) {
	if s.lanes == 8 {
		s.VDIVPS(z, v, v)
		return
	}
	r := s.vec()
	s.VRCP14PS(z, r)
	s.VMINPS(z, s.large, z)     // infinity times 0 would be NaN; that of z stays
	s.VFNMADD213PS(s.one, r, z) // 1 - z·r
	s.VFMADD231PS(z, r, r)
	s.VMULPS(r, v, v)
}
