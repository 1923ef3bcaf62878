package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exponential appends e^x: x = n·ln 2 + r (Cody and Waite, 1980), the polynomial of math.go for
// e^r, and a scaling by 2^n that rounds once where the result is subnormal. Beyond the ends of the
// range the result is 0 or infinite; NaN stays NaN.
type exponential struct {
	*maker
	least, most, log2e, ln2Hi, ln2Lo operand.Op
	terms                            []operand.Op
	one                              operand.Op
}

func newExponential(m *maker) *exponential {
	e := &exponential{
		maker: m, least: m.constant(-104.5), most: m.constant(89),
		log2e: m.constant(log2e), ln2Hi: m.constant(0.693359375),
		ln2Lo: m.constant(-2.12194440e-4), one: m.constant(1),
	}
	for _, c := range []float32{0.0013814602280035615, 0.008368715643882751,
		0.04166838899254799, 0.1666652113199234, 0.4999999403953552} {
		e.terms = append(e.terms, m.constant(c))
	}
	return e
}

// of appends x = e^x.
func (e *exponential) of(x reg.VecVirtual) {
	e.VMAXPS(x, e.held(e.least), x) // the operand named first is what a NaN gives
	e.VMINPS(x, e.held(e.most), x)
	n := e.vec()
	e.VMULPS(e.log2e, x, n)
	e.whole(n, n)
	e.VFNMADD231PS(e.ln2Hi, n, x)
	e.VFNMADD231PS(e.ln2Lo, n, x)
	y := e.vec()
	e.VMOVUPS(e.terms[0], y)
	for _, c := range e.terms[1:] {
		e.VFMADD213PS(c, x, y)
	}
	square := e.vec()
	e.VMULPS(x, x, square)
	e.VFMADD213PS(x, square, y)
	e.VADDPS(e.one, y, x)
	e.scale(x, n)
}

// whole appends n = x rounded to a whole number.
func (e *exponential) whole(x, n reg.VecVirtual) {
	if e.lanes == 16 {
		e.VRNDSCALEPS(operand.U8(0), x, n)
	} else {
		e.VROUNDPS(operand.U8(0), x, n)
	}
}

// scale appends x = x·2^n for whole n.
func (e *exponential) scale(x, n reg.VecVirtual) {
	if e.lanes == 16 {
		e.VSCALEFPS(n, x, x)
		return
	}
	half := e.vec()
	e.VCVTPS2DQ(n, n)
	e.VPSRAD(operand.U8(1), n, half)
	e.VPSUBD(half, n, n)
	for _, part := range []reg.VecVirtual{half, n} {
		e.VPSLLD(operand.U8(23), part, part)
		e.VPADDD(e.one, part, part) // 1 has the exponent of 2^0
		e.VMULPS(part, x, x)
	}
}

const log2e = 1.44269504

// power appends 2^x: x = n + f with whole n and 0 <= f < 1, a polynomial for 2^f that is 1 at 0 and
// was fitted for least maximal relative error (8e-8; 9e-5 where the result is rounded to
// bfloat16), and a scaling by 2^n. NaN stays NaN, and -Inf gives 0.
type power struct {
	*exponential
	least operand.Op
	terms []operand.Op // of f, from the highest power to 1
}

func newPower(m *maker) *power {
	p := &power{exponential: &exponential{maker: m, one: m.constant(1)}}
	if m.lanes == 8 {
		p.least = m.constant(-200)
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

func (p *power) of(x reg.VecVirtual) {
	const down = operand.U8(1)
	f, y := p.vec(), p.vec()
	if p.lanes == 16 {
		p.VREDUCEPS(down, x, f) // of an infinity: 0
		p.polynomial(f, y)
		p.VSCALEFPS(x, y, x) // rounds x down itself
		return
	}
	n := p.vec()
	p.VMAXPS(x, p.held(p.least), x) // the operand named first is what a NaN gives
	p.VROUNDPS(down, x, n)
	p.VSUBPS(n, x, f)
	p.polynomial(f, y)
	p.VMOVUPS(y, x)
	p.scale(x, n)
}

// polynomial appends y = 2^f for 0 <= f < 1.
func (p *power) polynomial(f, y reg.VecVirtual) {
	p.VMOVUPS(p.terms[0], y)
	for _, c := range p.terms[1:] {
		p.VFMADD213PS(c, f, y)
	}
}
