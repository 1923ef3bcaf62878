package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// finish writes the epilogue of rows: bias, activation, factors, residual, one pass over a row while
// the product's tile is in cache. v1, a row to a call: 0.4 ns per element of GELU against 4 in
// portable Go; v2, all rows of a tile in one call, for the rows of a few channels that a VAE has.
func finish(m *maker) {
	m.begin("finish", "dst, y *float32, rows, n int, bias, mul, gate, residual *float32, act, "+
		"dstStep, yStep, mulStep, gateStep, residStep int",
		"computes dst = act(y+bias)·mul·gate + residual; nil leaves a step out.")
	rows := m.inMemory("rows")
	dst, y, n := m.arg("dst"), m.arg("y"), m.arg("n")
	bias, mul, gate := m.arg("bias"), m.arg("mul"), m.arg("gate")
	residual, act := m.arg("residual"), m.arg("act")
	e := newExponential(m)
	s := &sigmoid{
		exponential: e,
		cubic:       m.constant(0.044715), twice: m.constant(-1.5957691216057308),
	}
	m.Label("row")
	m.each(n, func(i reg.Register, only *mask) {
		v := m.vec()
		with := func(p reg.Register, do func(x reg.VecVirtual)) {
			m.given(p, func() {
				x := m.vec()
				m.load(indexed(p, i), only, x)
				do(x)
			})
		}
		m.load(indexed(y, i), only, v)
		with(bias, func(x reg.VecVirtual) { m.VADDPS(x, v, v) })
		s.activate(act, v)
		with(mul, func(x reg.VecVirtual) { m.VMULPS(x, v, v) })
		with(gate, func(x reg.VecVirtual) { m.VMULPS(x, v, v) })
		with(residual, func(x reg.VecVirtual) { m.VADDPS(x, v, v) })
		m.store(v, only, indexed(dst, i))
	})
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

// sigmoid appends the activations.
type sigmoid struct {
	*exponential
	cubic, twice operand.Op
}

// activate appends v = v·sigmoid(-z): z is -v for SiLU (2), and twice·(v+cubic·v³) for GELU's
// approximation by tanh (1), written so because it cancels nowhere. act 0 does nothing.
func (s *sigmoid) activate(act reg.Register, v reg.VecVirtual) {
	gelu, both, done := s.label(), s.label(), s.label()
	s.CMPQ(act, operand.U8(1))
	s.JL(to(done))
	z := s.vec()
	s.JE(to(gelu))
	s.zero(z)
	s.VSUBPS(v, z, z)
	s.JMP(to(both))
	s.Label(gelu)
	s.VMULPS(v, v, z)
	s.VMULPS(v, z, z)
	s.VMULPS(s.cubic, z, z)
	s.VADDPS(v, z, z)
	s.VMULPS(s.twice, z, z)
	s.Label(both)
	s.of(z)
	s.VADDPS(s.one, z, z)
	s.VDIVPS(z, v, v)
	s.Label(done)
}
