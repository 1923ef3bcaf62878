package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// attention writes what attention needs besides the micro-kernel.
func attention(m *maker) {
	newSoftmax(m).write()
	if !m.pairs {
		blend(m)
		divide(m)
	}
}

// softmax writes the function that turns a tile of scores [n, two vectors] into probabilities: the
// maximum of every column, then what becomes of the earlier tiles, then the exponentials, as
// powers of two.
//
// The maximum is rounded after it is multiplied, the scores are not: all of a column's
// probabilities share that factor, and the sum takes it out. (Scores beyond 10⁹ would make it
// infinite.)
//
// History, as attention over 4,320 tokens in 8 heads of 32 on one Zen 4 thread whose peak is 115
// (float32) and 228 GFLOP/s (bfloat16):
//
//   - v1: e^x by Cody and Waite's reduction, scaled scores written back between the passes, a query
//     to a row, sums folded row by row: 79 and 105;
//   - v2: powers of two of the scores as they lie, sums kept per lane, pairs rounded in the same
//     pass: 79 and 130;
//   - v3: VREDUCEPS and VSCALEFPS do the whole part, infinities included: 89 and 152;
//   - v4: a query to a column, so that nothing is folded or spread; see package cpu's attention.
type softmax struct {
	*maker
	p, n, s      reg.Register   // the parameters: scores, keys, the running state
	scale, log2e reg.VecVirtual // log2e is what differences of scores are multiplied by
	powers       *power
}

// Offsets of type running: per query the maximum of the scores before they are scaled, what is left
// of earlier tiles, and the sum.
const (
	runMost   = 0
	runShrink = 4 * 32
	runSums   = 8 * 32
)

// newSoftmax begins the function. Registers stay for the few values that all passes need.
func newSoftmax(m *maker) *softmax {
	m.begin("softmax", "p *float32, n int, scale float32, bias *float32, s *float32",
		"computes one tile of a running softmax; see kernels.softmax.")
	f := &softmax{maker: m, p: m.arg("p"), n: m.arg("n"), s: m.arg("s"), scale: m.vec(),
		log2e: m.vec()}
	f.VBROADCASTSS(f.inMemory("scale"), f.scale)
	return f
}

// write appends the passes over the tile.
func (f *softmax) write() {
	bias := f.arg("bias")
	f.VMULPS(f.constant(log2e), f.scale, f.log2e)
	f.given(bias, func() { f.add(bias) })
	most := f.maxima()
	f.powers = newPower(f.maker)
	f.probabilities(f.origins(most))
	f.end()
}

// width is the bytes of a row of the tile, which is a key's scores with all queries.
func (f *softmax) width() int { return 4 * 2 * f.lanes }

// keys runs body for each group of keys; p is where the scores of the group's first key are. It
// leaves the number of keys that fill no group in left, and p after the others.
func (f *softmax) keys(group int, body func(p reg.Register)) (p, left reg.Register) {
	p, left = f.GP64(), f.GP64()
	loop, done := f.label(), f.label()
	f.MOVQ(f.p, p)
	f.MOVQ(f.n, left)
	f.SUBQ(operand.U8(group), left)
	f.JL(to(done))
	f.Label(loop)
	body(p)
	f.ADDQ(operand.I32(int32(group*f.width())), p)
	f.SUBQ(operand.U8(group), left)
	f.JGE(to(loop))
	f.Label(done)
	f.ADDQ(operand.U8(group), left)
	return p, left
}

// vector is vector i of a key's scores.
func (f *softmax) vector(p reg.Register, key, i int) operand.Mem {
	return at(p, key*f.width()+4*f.lanes*i)
}

// add adds the bias, divided by the scale; that of a key begins one element before the last one's.
func (f *softmax) add(bias reg.Register) {
	inverse := f.vec()
	f.VMOVUPS(f.constant(1), inverse)
	f.VDIVPS(f.scale, inverse, inverse)
	f.keys(1, func(p reg.Register) {
		for i := range 2 {
			x := f.vec()
			f.VMOVUPS(at(bias, 4*f.lanes*i), x)
			f.VFMADD213PS(f.vector(p, 0, i), inverse, x)
			f.VMOVUPS(x, f.vector(p, 0, i))
		}
		f.SUBQ(operand.U8(4), bias)
	})
}

// maxima returns the maxima of the columns. A NaN is passed over: it spoils the sum.
func (f *softmax) maxima() []reg.VecVirtual {
	const group = 4 // independent maxima hide the latency of VMAXPS
	most := f.vectors(2 * group)
	none := f.static("none", func(int) uint32 { return math.Float32bits(float32(math.Inf(-1))) }, 16)
	for _, v := range most {
		f.VMOVUPS(none, v)
	}

	take := func(p reg.Register, key, i int, v reg.VecVirtual) {
		x := f.vec()
		f.VMOVUPS(f.vector(p, key, i), x)
		f.VMAXPS(v, x, v) // the operand named first is what a NaN gives
	}
	p, left := f.keys(group, func(p reg.Register) {
		for i, v := range most {
			take(p, i/2, i%2, v)
		}
	})

	// The keys that fill no group, one by one.
	one, done := f.label(), f.label()
	f.Label(one)
	f.DECQ(left)
	f.JL(to(done))
	take(p, 0, 0, most[0])
	take(p, 0, 1, most[1])
	f.ADDQ(operand.I32(int32(f.width())), p)
	f.JMP(to(one))
	f.Label(done)

	for i, v := range most[2:] {
		f.VMAXPS(most[i%2], v, most[i%2])
	}
	return most[:2]
}

// origins updates the maxima of all columns and the factors by which earlier tiles shrink. It
// returns what is subtracted from scores, in powers of two.
func (f *softmax) origins(most []reg.VecVirtual) []reg.VecVirtual {
	lowest := f.held(f.constant(-1e30)) // where every key so far is masked
	for i, x := range most {
		before := f.vec()
		f.VMOVUPS(at(f.s, runMost+4*f.lanes*i), before)
		f.VMAXPS(before, x, x)
		f.VMOVUPS(x, at(f.s, runMost+4*f.lanes*i))
		f.VMAXPS(lowest, x, x)
		f.VMULPS(f.log2e, x, x)
		f.VMULPS(f.log2e, before, before)
		f.VSUBPS(x, before, before)
		f.powers.of(before)
		f.VMOVUPS(before, at(f.s, runShrink+4*f.lanes*i))
	}
	return most
}

// probabilities turns scores into probabilities and adds them to the sums; pairs of keys are
// packed.
func (f *softmax) probabilities(origins []reg.VecVirtual) {
	sums := f.vectors(2)
	for _, v := range sums {
		f.zero(v)
	}

	probability := func(p reg.Register, key, i int) reg.VecVirtual {
		x := f.vec()
		f.VMOVUPS(f.vector(p, key, i), x)
		f.VFMSUB213PS(origins[i], f.log2e, x)
		f.powers.of(x)
		f.VADDPS(x, sums[i], sums[i])
		return x
	}
	if f.pairs {
		f.pack(probability)
	} else {
		f.keys(1, func(p reg.Register) {
			for i := range 2 {
				f.VMOVUPS(probability(p, 0, i), f.vector(p, 0, i))
			}
		})
	}

	// What is left of the earlier tiles' sums.
	for i, v := range sums {
		shrink, sum := f.vec(), at(f.s, runSums+4*f.lanes*i)
		f.VMOVUPS(at(f.s, runShrink+4*f.lanes*i), shrink)
		f.VFMADD231PS(sum, shrink, v)
		f.VMOVUPS(v, sum)
	}
}

// pack stores the probabilities of two keys as a row of pairs, in place over the scores; a missing
// last one is zero. The product with the values takes them as they lie.
func (f *softmax) pack(probability func(p reg.Register, key, i int) reg.VecVirtual) {
	out, order, done := f.GP64(), f.held(f.alternate()), f.label()
	f.MOVQ(f.p, out)

	// Rows of pairs are half as many as those of scores, so they never overtake what is still read.
	put := func(p reg.Register, second func(i int) reg.VecVirtual) {
		for i := range 2 {
			low, both := probability(p, 0, i), f.vec()
			f.round(low, second(i), both)
			f.VPERMW(both, order, both)
			f.VMOVUPS(both, at(out, 4*f.lanes*i))
		}
		f.ADDQ(operand.I32(int32(f.width())), out)
	}

	p, left := f.keys(2, func(p reg.Register) {
		put(p, func(i int) reg.VecVirtual { return probability(p, 1, i) })
	})
	f.TESTQ(left, left)
	f.JZ(to(done))
	put(p, func(int) reg.VecVirtual { return f.constantZero() })
	f.Label(done)
}

// alternate is the order of halves that turns two rows of bfloat16 into pairs.
func (m *maker) alternate() operand.Mem {
	return m.static("alternate", func(i int) uint32 { return uint32(i | (i+16)<<16) }, 16)
}

// eachRow runs body for every row of two vectors of the n elements at p, and moves p to the next
// row. n is a multiple of the row.
func (m *maker) eachRow(p, n reg.Register, body func()) {
	loop, done := m.label(), m.label()
	m.SUBQ(operand.U8(2*m.lanes), n)
	m.JL(to(done))
	m.Label(loop)
	body()
	m.ADDQ(operand.I32(int32(4*2*m.lanes)), p)
	m.SUBQ(operand.U8(2*m.lanes), n)
	m.JGE(to(loop))
	m.Label(done)
}

// blend adds the sum of a tile, formed on its own, to what is left of the earlier ones: every
// query, which is a column, has a factor of its own.
func blend(m *maker) {
	m.begin("blend", "out *float32, n int, tile, shrink *float32",
		"computes out = out·shrink + tile for rows of two vectors.")
	out, n, tile, by := m.arg("out"), m.arg("n"), m.arg("tile"), m.arg("shrink")
	shrink := m.vectors(2)
	for i, v := range shrink {
		m.VMOVUPS(at(by, 4*m.lanes*i), v)
	}

	m.eachRow(out, n, func() {
		for i, v := range shrink {
			x := m.vec()
			m.VMOVUPS(at(out, 4*m.lanes*i), x)
			m.VFMADD213PS(at(tile, 4*m.lanes*i), v, x)
			m.VMOVUPS(x, at(out, 4*m.lanes*i))
		}
		m.ADDQ(operand.I32(int32(4*2*m.lanes)), tile)
	})
	m.end()
}

// divide finishes the output of attention: probabilities were never normalised, so their sum
// divides the result once.
func divide(m *maker) {
	m.begin("divide", "out *float32, n int, sums *float32", "divides rows of two vectors by sums.")
	out, n, by := m.arg("out"), m.arg("n"), m.arg("sums")
	sums := m.vectors(2)
	for i, v := range sums {
		m.VMOVUPS(at(by, 4*m.lanes*i), v)
	}

	m.eachRow(out, n, func() {
		for i, v := range sums {
			x := m.vec()
			m.VMOVUPS(at(out, 4*m.lanes*i), x)
			m.VDIVPS(v, x, x)
			m.VMOVUPS(x, at(out, 4*m.lanes*i))
		}
	})
	m.end()
}
