package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set. What differs between sets is asked by lanes and pairs, never by name,
// so a function reads as one algorithm.
type isa struct {
	name  string
	lanes int // float32 of a vector
	// Rows of the micro-kernel; with two vectors of columns that is what the registers hold: 24
	// sums of 32 on AVX-512, 12 of 16 on AVX2.
	mr int
	// Products are of pairs of bfloat16, two steps of k in four bytes, summed in float32.
	pairs bool
}

// The instruction sets that functions are written for.
var (
	avx512     = isa{name: "AVX512", lanes: 16, mr: 12}
	avx512bf16 = isa{name: "BF16", lanes: 16, mr: 12, pairs: true}
	avx2       = isa{name: "AVX2", lanes: 8, mr: 6}
)

// maker appends functions for one instruction set.
type maker struct {
	*build.Context // of the file, which has the functions of several sets
	isa
	statics map[string]operand.Mem // read-only data of the file
	named   int                    // counts labels
}

// begin starts a function of the set: name gets the set's name appended, args is the list of Go
// parameters, and doc ends the sentence of the comment that begins with the name. The pragma
// promises Go that pointers do not outlive the call. Functions are nosplit, as they call nothing
// and need little stack.
func (m *maker) begin(name, args, doc string) {
	m.Function(name + m.name)
	m.Attributes(attr.NOSPLIT)
	m.SignatureExpr("func(" + args + ")")
	m.Doc(name + m.name + " " + doc)
	m.Pragma("noescape")
}

// end finishes a function. The upper halves of the vector registers are cleared, or the SSE code of
// Go that follows would be slow on some CPUs.
func (m *maker) end() {
	m.VZEROUPPER()
	m.RET()
}

// arg loads a parameter of eight bytes.
func (m *maker) arg(name string) reg.Register { return m.Load(m.Param(name), m.GP64()) }

// inMemory is where the caller left a parameter.
func (m *maker) inMemory(name string) operand.Mem {
	p, err := m.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// vec returns a new vector register. There are 32 of them on AVX-512 and 16 on AVX2; avo fails
// where more are alive at once, since it does not spill.
func (m *maker) vec() reg.VecVirtual {
	if m.lanes == 16 {
		return m.ZMM()
	}
	return m.YMM()
}

// vectors returns n new vector registers.
func (m *maker) vectors(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = m.vec()
	}
	return v
}

// zero clears a vector.
func (m *maker) zero(v reg.VecVirtual) {
	if m.lanes == 16 {
		m.VPXORD(v, v, v)
		return
	}
	m.VXORPS(v, v, v)
}

// at is the memory bytes after base.
func at(base reg.Register, bytes int) operand.Mem {
	return operand.Mem{Base: base, Disp: bytes}
}

// indexed is element index of the float32 at base.
func indexed(base, index reg.Register) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: 4}
}

// static returns read-only data of n words, made on first use: sets of a file share it, so it has
// room for the widest. The first caller's words count, so one name must always stand for the same
// data.
func (m *maker) static(name string, words func(i int) uint32, n int) operand.Mem {
	if p, ok := m.statics[name]; ok {
		return p
	}
	p := m.StaticGlobal(name)
	m.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range n {
		m.AppendDatum(operand.U32(words(i)))
	}
	m.statics[name] = p
	return p
}

// constant returns a vector of one number as an operand: a register that is loaded here on AVX-512,
// which has registers to spare, memory on AVX2, whose instructions read it just as fast from the
// first cache.
func (m *maker) constant(x float32) operand.Op {
	bits := math.Float32bits(x)
	p := m.static(fmt.Sprintf("f%08x", bits), func(int) uint32 { return bits }, 16)
	if m.lanes == 8 {
		return p
	}
	return m.held(p)
}

// held loads a vector from memory, whatever the instruction set; registers pass through.
func (m *maker) held(p operand.Op) reg.VecVirtual {
	if r, ok := p.(reg.VecVirtual); ok {
		return r
	}
	v := m.vec()
	m.VMOVUPS(p, v)
	return v
}

// mask selects the first lanes of a vector.
type mask struct {
	k reg.OpmaskVirtual // AVX-512
	v reg.VecVirtual    // AVX2
}

// first returns the mask of the first n lanes, 0 <= n <= lanes.
func (m *maker) first(n reg.Register) *mask {
	if m.lanes == 16 {
		ones, k := m.GP64(), m.K()
		m.MOVQ(operand.I32(-1), ones)
		m.BZHIQ(n, ones, ones)
		m.KMOVW(ones.As32(), k)
		return &mask{k: k}
	}

	// A load from a window of eight ones and eight zeros, n words before its middle.
	window := m.static("window", func(i int) uint32 { return 0xffffffff * uint32(1-i/8) }, 16)
	table, left, v := m.GP64(), m.GP64(), m.vec()
	m.LEAQ(window, table)
	m.MOVQ(n, left)
	m.NEGQ(left)
	m.VMOVUPS(operand.Mem{Base: table, Index: left, Scale: 4, Disp: 32}, v)
	return &mask{v: v}
}

// load loads a vector; the lanes that a mask leaves out are zero, and their memory is not touched,
// so that a row may end at the end of a page. A nil mask means a whole vector.
func (m *maker) load(from operand.Mem, only *mask, v reg.VecVirtual) {
	switch {
	case only == nil:
		m.VMOVUPS(from, v)
	case m.lanes == 16:
		m.VMOVUPS_Z(from, only.k, v)
	default:
		m.VMASKMOVPS(from, only.v, v)
	}
}

// store stores the lanes of a vector that a mask selects.
func (m *maker) store(v reg.VecVirtual, only *mask, to operand.Mem) {
	switch {
	case only == nil:
		m.VMOVUPS(v, to)
	case m.lanes == 16:
		m.VMOVUPS(v, only.k, to)
	default:
		m.VMASKMOVPS(v, only.v, to)
	}
}

// each runs body over n elements a vector at a time: with i the index of its first element, and the
// mask of the last vector when it is not full.
func (m *maker) each(n reg.Register, body func(i reg.Register, only *mask)) {
	m.several(n, 1, func(_ int, i reg.Register, only *mask) { body(i, only) })
}

// several is each with up to most vectors at a time, a power of two: as many as that while they are
// there, then half as many, down to one, then the masked rest. Several vectors at once give the CPU
// independent sums to work on while one waits for its result.
func (m *maker) several(n reg.Register, most int,
	body func(vectors int, i reg.Register, only *mask)) {
	i, left, done := m.GP64(), m.GP64(), m.label()
	m.XORQ(i, i)
	m.MOVQ(n, left)

	for count := most; count > 0; count /= 2 {
		loop, rest := m.label(), m.label()
		m.SUBQ(operand.U8(count*m.lanes), left)
		m.JL(to(rest))
		m.Label(loop)
		body(count, i, nil)
		m.ADDQ(operand.U8(count*m.lanes), i)
		m.SUBQ(operand.U8(count*m.lanes), left)
		m.JGE(to(loop))
		m.Label(rest)
		m.ADDQ(operand.U8(count*m.lanes), left)
	}

	m.JZ(to(done))
	body(1, i, m.first(left))
	m.Label(done)
}

// given runs body when pointer p is not nil. Optional parameters cost a branch per call this way,
// and no functions of their own.
func (m *maker) given(p reg.Register, body func()) {
	skip := m.label()
	m.TESTQ(p, p)
	m.JZ(to(skip))
	body()
	m.Label(skip)
}

// label returns a label that is new in the function.
func (m *maker) label() string {
	m.named++
	return fmt.Sprintf("l%d", m.named)
}

// to is a label as the operand of a jump.
func to(label string) operand.LabelRef { return operand.LabelRef(label) }
