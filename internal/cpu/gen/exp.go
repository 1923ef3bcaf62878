package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// log2e is the logarithm of e to base 2: e^x = 2^(x·log2e).
const log2e = 1.44269504

// power appends 2^x: x = n + f with whole n and 0 <= f < 1, a polynomial for 2^f that is 1 at 0 and
// was fitted for least maximal relative error (8e-8; 9e-5 where the result is rounded to bfloat16),
// and a scaling by 2^n that rounds once where the result is subnormal. Beyond the ends of the range
// the result is 0 or infinite; NaN stays NaN.
type power struct {
	*maker
	one         operand.Op
	least, most operand.Op   // of x, on AVX2
	terms       []operand.Op // of f, from the highest power to 1
}

// newPower loads the constants. Pairs get a polynomial of lower degree: what it misses is lost in
// the rounding to bfloat16 anyway.
func newPower(m *maker) *power {
	p := &power{maker: m, one: m.constant(1)}
	if m.lanes == 8 {
		p.least, p.most = m.constant(-200), m.constant(200)
	}

	terms := []float32{0.0018671302823349833, 0.009017029777169228, 0.05579991266131401,
		0.24016444385051727, 0.6931512951850891, 1}
	if m.pairs {
		terms = []float32{0.0770670548081398, 0.22764497995376587, 0.6951168179512024, 1}
	}
	for _, c := range terms {
		p.terms = append(p.terms, m.constant(c))
	}
	return p
}

// of appends x = 2^x, in place. It needs two or three more registers for a moment.
func (p *power) of(x reg.VecVirtual) {
	const down = operand.U8(1)
	f, y := p.vec(), p.vec()
	if p.lanes == 16 {
		p.VREDUCEPS(down, x, f) // of an infinity: 0
		p.polynomial(f, y)
		p.VSCALEFPS(x, y, x) // rounds x down itself
		return
	}

	// AVX2 has neither instruction: clamp, so that the exponent's bits hold n, and split by hand.
	n := p.vec()
	p.VMAXPS(x, p.held(p.least), x) // the operand named first is what a NaN gives
	p.VMINPS(x, p.held(p.most), x)
	p.VROUNDPS(down, x, n)
	p.VSUBPS(n, x, f)
	p.polynomial(f, y)
	p.VMOVUPS(y, x)
	p.scale(x, n)
}

// polynomial appends y = 2^f for 0 <= f < 1. Horner's scheme with fused multiply-adds rounds once
// per term.
func (p *power) polynomial(f, y reg.VecVirtual) {
	p.VMOVUPS(p.terms[0], y)
	for _, c := range p.terms[1:] {
		p.VFMADD213PS(c, f, y)
	}
}

// scale appends x = x·2^n for whole n, in two steps, since 2^n may be out of range where x·2^n is
// a subnormal number.
func (p *power) scale(x, n reg.VecVirtual) {
	half := p.vec()
	p.VCVTPS2DQ(n, n)
	p.VPSRAD(operand.U8(1), n, half)
	p.VPSUBD(half, n, n)
	for _, part := range []reg.VecVirtual{half, n} {
		p.VPSLLD(operand.U8(23), part, part)
		p.VPADDD(p.one, part, part) // 1 has the exponent of 2^0
		p.VMULPS(part, x, x)
	}
}
