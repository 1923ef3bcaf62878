package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// keyTile is package cpu's: the keys between two rescalings.
const keyTile = 64

// attention writes what attention needs beside the micro-kernel.
func attention(m *maker) {
	newSoftmax(m).write()
	for vecs := 1; vecs <= 2; vecs++ {
		weigh(m, vecs)
	}
	if !m.pairs {
		divide(m)
	}
}

// softmax writes the function that turns a tile of scores into probabilities: first the maximum of
// every row, then what becomes of the earlier tiles, for all rows at once, then the exponentials,
// as powers of two.
//
// The maximum is rounded after it is multiplied, the scores are not: all of a row's probabilities
// share that factor, and the sum takes it out. (Scores beyond 10⁹ would make it infinite.)
//
// History, as attention over 4,320 tokens in 8 heads of 32 on one Zen 4 thread whose peak is 115
// (float32) and 228 GFLOP/s (bfloat16):
//
//   - v1: e^x by Cody and Waite's reduction, scaled scores written back between the passes, sums
//     folded row by row: 79 and 105;
//   - v2: powers of two of the scores as they lie, sums kept per lane, pairs rounded in the same
//     pass: 79 and 130;
//   - v3: VREDUCEPS and VSCALEFPS do the whole part, infinities included: 89 and 152.
type softmax struct {
	*maker
	p, s         reg.Register
	scale, log2e reg.VecVirtual // log2e is what differences of scores are multiplied by
	powers       *power
}

// Offsets of type running: per row the maximum of the scores before they are scaled, what is left
// of earlier tiles, what is subtracted; and a vector of sums.
const (
	runMost   = 0
	runShrink = 64
	runOrigin = 128
	runSums   = 192
)

func newSoftmax(m *maker) *softmax {
	m.begin("soften", "p *float32, scale float32, add *float32, step int, s *float32",
		"computes one tile of a running softmax; see kernels.soften.")
	f := &softmax{maker: m, p: m.arg("p"), s: m.arg("s"), scale: m.vec(), log2e: m.vec()}
	f.VBROADCASTSS(f.inMemory("scale"), f.scale)
	return f
}

func (f *softmax) write() {
	add := f.arg("add")
	f.VMULPS(f.constant(log2e), f.scale, f.log2e)
	f.given(add, func() { f.addend(add) })
	f.maxima()
	f.powers = newPower(f.maker)
	f.origins()
	f.probabilities()
	f.end()
}

// rows runs body for every row of the tile; row is the offset of its numbers in bytes.
func (f *softmax) rows(body func(p, row reg.Register)) {
	p, row, loop := f.GP64(), f.GP64(), f.label()
	f.MOVQ(f.p, p)
	f.XORQ(row, row)
	f.Label(loop)
	body(p, row)
	f.ADDQ(operand.I32(4*keyTile), p)
	f.ADDQ(operand.U8(4), row)
	f.CMPQ(row, operand.U8(4*f.mr))
	f.JLT(to(loop))
}

// addend adds what is to be added, divided by the scale.
func (f *softmax) addend(add reg.Register) {
	step, inverse := f.arg("step"), f.vec()
	f.VMOVUPS(f.constant(1), inverse)
	f.VDIVPS(f.scale, inverse, inverse)
	f.SHLQ(operand.U8(2), step)
	f.rows(func(p, _ reg.Register) {
		for at := 0; at < keyTile; at += f.lanes {
			x := f.vec()
			f.VMOVUPS(operand.Mem{Base: add, Disp: 4 * at}, x)
			f.VFMADD213PS(operand.Mem{Base: p, Disp: 4 * at}, inverse, x)
			f.VMOVUPS(x, operand.Mem{Base: p, Disp: 4 * at})
		}
		f.ADDQ(step, add)
	})
}

// maxima puts every row's maximum where its shrink will be. A NaN is passed over: it spoils the
// sum.
func (f *softmax) maxima() {
	none := f.held(f.constant(float32(math.Inf(-1))))
	f.rows(func(p, row reg.Register) {
		most := f.vec()
		f.VMOVUPS(none, most)
		for at := 0; at < keyTile; at += f.lanes {
			x := f.vec()
			f.VMOVUPS(operand.Mem{Base: p, Disp: 4 * at}, x)
			f.VMAXPS(most, x, most) // the operand named first is what a NaN gives
		}
		f.fold(most, func(x, y reg.Register) { f.VMAXPS(x, y, y) })
		f.VMOVSS(most.AsX(), f.of(row, runShrink))
	})
}

// of is a row's number of the running softmax.
func (f *softmax) of(row reg.Register, offset int) operand.Mem {
	return operand.Mem{Base: f.s, Index: row, Scale: 1, Disp: offset}
}

// origins updates the maxima of all rows, and what becomes of the earlier tiles.
func (f *softmax) origins() {
	lowest := f.held(f.constant(-1e30)) // where every key so far is masked
	for i := 0; i < f.mr; i += f.lanes {
		x, most, base := f.vec(), f.vec(), f.vec()
		f.VMOVUPS(at(f.s, runShrink+4*i), x)
		f.VMOVUPS(at(f.s, runMost+4*i), most)
		f.VMAXPS(most, x, x)
		f.VMOVUPS(x, at(f.s, runMost+4*i))
		f.VMAXPS(lowest, x, base)
		f.VMULPS(f.log2e, base, base)
		f.VMOVUPS(base, at(f.s, runOrigin+4*i))
		f.VMULPS(f.log2e, most, most)
		f.VSUBPS(base, most, most)
		f.powers.of(most)
		f.VMOVUPS(most, at(f.s, runShrink+4*i))
	}
}

// probabilities turns scores into probabilities and adds them to the sums; pairs are packed.
func (f *softmax) probabilities() {
	sums, out := f.GP64(), f.GP64()
	f.LEAQ(at(f.s, runSums), sums)
	f.MOVQ(f.p, out)
	f.rows(func(p, row reg.Register) {
		base, sum, shrink := f.vec(), f.vec(), f.vec()
		f.VBROADCASTSS(f.of(row, runOrigin), base)
		f.zero(sum)
		for at := 0; at < keyTile; at += 2 * f.lanes {
			pair := f.vectors(2)
			for i, x := range pair {
				f.VMOVUPS(operand.Mem{Base: p, Disp: 4 * (at + i*f.lanes)}, x)
				f.VFMSUB213PS(base, f.log2e, x)
				f.powers.of(x)
				f.VADDPS(x, sum, sum)
			}
			f.put(pair, out, at)
		}
		f.VBROADCASTSS(f.of(row, runShrink), shrink)
		f.VFMADD231PS(operand.Mem{Base: sums}, shrink, sum)
		f.VMOVUPS(sum, operand.Mem{Base: sums})
		f.ADDQ(operand.U8(4*f.lanes), sums)
		f.ADDQ(operand.I32(4*keyTile/f.per()), out)
	})
}

// put stores two vectors of probabilities, element at of a row and on.
func (f *softmax) put(pair []reg.VecVirtual, out reg.Register, at int) {
	if f.pairs {
		both := f.vec()
		f.round(pair[0], pair[1], both)
		f.VMOVUPS(both, operand.Mem{Base: out, Disp: 2 * at})
		return
	}
	for i, x := range pair {
		f.VMOVUPS(x, operand.Mem{Base: out, Disp: 4 * (at + i*f.lanes)})
	}
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
	stride := 4 * keyTile / m.per()
	m.Label("loop")
	b := m.vectors(vecs)
	for j, x := range b {
		m.VMOVUPS(at(v, 4*m.lanes*j), x)
	}
	for i, row := range sums {
		x := m.vec()
		m.VBROADCASTSS(at(p, stride*i), x)
		for j, sum := range row {
			m.multiplyAdd(x, b[j], sum)
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
	m.begin("divide", "dst, y *float32, n int, sums *float32", "divides y by the sum of a vector.")
	dst, y, n, sum := m.arg("dst"), m.arg("y"), m.arg("n"), m.vec()
	m.VMOVUPS(operand.Mem{Base: m.arg("sums")}, sum)
	m.fold(sum, func(x, y reg.Register) { m.VADDPS(x, y, y) })
	m.VBROADCASTSS(sum.AsX(), sum)
	m.each(n, func(i reg.Register, only *mask) {
		v := m.vec()
		m.load(indexed(y, i), only, v)
		m.VDIVPS(sum, v, v)
		m.store(v, only, indexed(dst, i))
	})
	m.end()
}
