package main

import (
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Neither avo nor Go's assembler knows the instructions of AVX512_BF16. The makers append another
// instruction of the same operands, one that nothing else here uses, and encode replaces it by
// bytes once registers are chosen (Intel SDM, volume 2, 2.7 "EVEX", and the instructions' pages).
var replaced = map[string]evex{
	"VFMSUBADD231PS": {prefix: 2, opcode: 0x52}, // VDPBF16PS, F3
	"VFMADDSUB231PS": {prefix: 3, opcode: 0x72}, // VCVTNE2PS2BF16, F2
}

// dotPairs appends sum += x0·y0 + x1·y1 for pairs of bfloat16.
func (m *maker) dotPairs(x, y, sum reg.VecVirtual) { m.VFMSUBADD231PS(x, y, sum) }

// round appends dst = low's elements, then high's, rounded to bfloat16. What dst was does not
// matter, but avo wants it to be something.
func (m *maker) round(low, high, dst reg.VecVirtual) {
	m.zero(dst)
	m.VFMADDSUB231PS(low, high, dst)
}

// evex is an instruction of the map 0F38 with W0, 512 bits and three registers.
type evex struct {
	prefix byte // field pp: 2 for F3, 3 for F2
	opcode byte
}

// encode puts bytes in the place of every instruction that replaced names. Registers are assigned
// by then, and flow graphs are not needed any more. The operands keep their places, so avo's
// register assignment stays right.
func encode(file *ir.File) {
	for _, f := range file.Functions() {
		var nodes []ir.Node
		for _, n := range f.Nodes {
			i, ok := n.(*ir.Instruction)
			if e, found := replaced[opcode(i, ok)]; found {
				nodes = append(nodes, e.bytes(i.Operands)...)
			} else {
				nodes = append(nodes, n)
			}
		}
		f.Nodes = nodes
	}
}

// opcode is the name of an instruction, "" for other nodes.
func opcode(i *ir.Instruction, ok bool) string {
	if !ok {
		return ""
	}
	return i.Opcode
}

// bytes encodes the instruction for operands in the order of Go: r/m, vvvv, reg.
func (e evex) bytes(ops []operand.Op) []ir.Node {
	// P0 to P2 as the manual lays them out; the bits that extend register numbers are inverted.
	rm, v, r := number(ops[0]), number(ops[1]), number(ops[2])
	not := func(b byte) byte { return ^b & 1 }
	p0 := not(r>>3)<<7 | not(rm>>4)<<6 | not(rm>>3)<<5 | not(r>>4)<<4 | 2
	p1 := ^v&15<<3 | 1<<2 | e.prefix
	p2 := 2<<5 | not(v>>4)<<3
	long := 0x62 | uint32(p0)<<8 | uint32(p1)<<16 | uint32(p2)<<24
	word := uint16(e.opcode) | uint16(0xc0|r&7<<3|rm&7)<<8
	return []ir.Node{
		&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(long)}},
		&ir.Instruction{Opcode: "WORD", Operands: []operand.Op{operand.U16(word)}},
	}
}

// number is the hardware's number of a register. Only physical registers have one, so it panics
// before Compile.
func number(op operand.Op) byte { return byte(op.(reg.Physical).PhysicalIndex()) }
