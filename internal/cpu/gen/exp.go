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
		log2e: m.constant(1.44269504), ln2Hi: m.constant(0.693359375),
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
	if e.lanes == 16 {
		e.VRNDSCALEPS(operand.U8(0), n, n)
	} else {
		e.VROUNDPS(operand.U8(0), n, n)
	}
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
