package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// unroll is how many steps of k one iteration of the inner loop takes.
const unroll = 4

// cacheLine is in bytes.
const cacheLine = 64

// gemm writes the micro-kernels of every height up to mr, one and two vectors wide, and the loop
// that measures the peak.
func gemm(m *maker) {
	for vecs := 1; vecs <= 2; vecs++ {
		for rows := 1; rows <= m.mr; rows++ {
			newMicroKernel(m, rows, vecs).write()
		}
	}
	peak(m)
}

// multiplyAdd appends sum += x·y, or for pairs sum += x0·y0 + x1·y1. All micro-kernels of a set use
// it in the same order of k, which is what makes an element's bits the same in each of them.
func (m *maker) multiplyAdd(x, y, sum reg.VecVirtual) {
	if m.pairs {
		m.dotPairs(x, y, sum)
		return
	}
	m.VFMADD231PS(x, y, sum)
}

// microKernel multiplies rows of A, each read in place through a pointer of its own, by a panel of
// B that is vecs vectors wide. A run of k has one pointer per row in a table; the sums stay in
// registers over all the runs, and a step of k loads the vectors of B and broadcasts an element of
// each row.
//
// History, for 1024x1536x1536 on one Zen 4 thread whose peak is 115 (float32) and 228 GFLOP/s
// (bfloat16):
//
//   - v1: 4 x 2 sums in portable Go over packed panels of A and B: 4;
//   - v2: 12 x 32 in AVX-512, rows of A in place: 97, and 105 to 115 where k is 256 to 896;
//   - v3: the task's columns chosen by what of B stays in the second cache: 103; with pairs of
//     bfloat16: 175 to 190;
//   - v4: 144 rows by 256 steps (of pairs: 512), so that a panel's part fits the first cache: 102
//     and 201.
//
// On one Intel thread whose peak is 178 (float32; of pairs: 89): v4: 155, and 147 where 4,320 rows
// of 256 steps leave a result of 15 MB; v5, all rows of a task in one call, which prefetches the
// lines that the next panel, the next block of k and the result will need: 163 and 163.
type microKernel struct {
	*maker
	vecs int                // vectors of a row of sums
	sums [][]reg.VecVirtual // [rows][vecs], in registers over all of k
	rows []reg.Register     // where each row of A is in the current run
	k, b reg.Register       // step within the run; next step of the panel

	// Spilled to the frame or left where the caller put them: all registers are in use.
	table                    operand.Mem // where the next run's pointers are
	left                     operand.Mem // runs left
	even                     operand.Mem // n rounded down to a multiple of unroll
	c, n, groups, row, panel operand.Mem // parameters
}

// newMicroKernel begins the function for so many rows and vectors of columns.
func newMicroKernel(m *maker, rows, vecs int) *microKernel {
	f := &microKernel{maker: m, vecs: vecs}
	m.begin(fmt.Sprintf("gemm%dx%d", rows, vecs*m.lanes), "c *float32, ld int, rows **float32, "+
		"groups, runs, n int, b, row *float32, step, panel int, add bool",
		"computes c = a·b, or c += a·b.")
	for range rows {
		f.rows = append(f.rows, m.GP64())
		f.sums = append(f.sums, f.vectors(vecs))
	}

	local := m.AllocLocal(24)
	f.table, f.left, f.even = local, local.Offset(8), local.Offset(16)
	f.c, f.n, f.groups = f.inMemory("c"), f.inMemory("n"), f.inMemory("groups")
	f.row, f.panel = f.inMemory("row"), f.inMemory("panel")
	return f
}

// write appends the whole function: for every group of rows, for every run of k, the unrolled steps
// and then those that are left.
func (f *microKernel) write() {
	r := f.arg("rows")
	f.MOVQ(r, f.table)
	r = f.arg("n")
	f.ANDQ(operand.I32(-unroll), r)
	f.MOVQ(r, f.even)

	f.Label("group")
	f.start()
	f.Label("run")
	f.loadPointers()
	f.XORQ(f.k, f.k)
	f.CMPQ(f.even, operand.U8(0))
	f.JEQ(to("rest"))

	f.Label("loop")
	f.fetch()
	f.steps(unroll)
	f.CMPQ(f.k, f.even)
	f.JLT(to("loop"))

	f.Label("rest")
	f.CMPQ(f.k, f.n)
	f.JGE(to("next"))
	f.Label("one")
	f.steps(1)
	f.CMPQ(f.k, f.n)
	f.JLT(to("one"))

	f.Label("next")
	f.DECQ(f.left)
	f.JNZ(to("run"))
	f.finish()
	f.DECQ(f.groups)
	f.JNZ(to("group"))
	f.end()
}

// start loads or clears the sums of a group.
func (f *microKernel) start() {
	r := f.arg("runs")
	f.MOVQ(r, f.left)
	add := f.Load(f.Param("add"), f.GP8())
	f.TESTB(add, add)
	f.JZ(to("fresh"))

	// A block of k after the first goes on where the last one stopped.
	f.tile(func(sum reg.VecVirtual, p operand.Mem) { f.VMOVUPS(p, sum) })
	f.JMP(to("ready"))

	f.Label("fresh")
	for _, row := range f.sums {
		for _, sum := range row {
			f.zero(sum)
		}
	}

	f.Label("ready")
	f.b, f.k = f.arg("b"), f.GP64()
}

// finish stores the sums of a group and moves c, and what is prefetched, to the next one.
func (f *microKernel) finish() {
	c, ld := f.tile(func(sum reg.VecVirtual, p operand.Mem) { f.VMOVUPS(sum, p) })
	f.ADDQ(ld, c)
	f.MOVQ(c, f.c)
	step := f.arg("step")
	f.SHLQ(operand.U8(2), step)
	f.ADDQ(step, f.row)
	f.ADDQ(operand.U8(cacheLine), f.panel)
}

// fetch prefetches two lines into the second cache: the next one of a row, and one of another
// panel, whose other lines other groups fetch. A prefetch of an address that is not mapped does
// nothing.
func (f *microKernel) fetch() {
	p := f.GP64()
	f.MOVQ(f.panel, p)
	f.PREFETCHT1(operand.Mem{Base: f.b, Index: p, Scale: 1})
	p = f.GP64()
	f.MOVQ(f.row, p)
	f.PREFETCHT1(operand.Mem{Base: p, Index: f.k, Scale: 8})
}

// tile calls do with every sum and its place in c, row after row. It returns where the last row is,
// and the bytes from row to row: the next group begins one row further.
func (f *microKernel) tile(do func(sum reg.VecVirtual, p operand.Mem)) (c, ld reg.Register) {
	c, ld = f.arg("c"), f.arg("ld")
	f.SHLQ(operand.U8(2), ld)
	for i, row := range f.sums {
		for j, sum := range row {
			do(sum, at(c, 4*f.lanes*j))
		}
		if i+1 < len(f.sums) {
			f.ADDQ(ld, c)
		}
	}
	return c, ld
}

// loadPointers loads the pointers of the next run and moves table on by mr of them, which the
// caller has set even where there are fewer rows.
func (f *microKernel) loadPointers() {
	f.MOVQ(f.table, f.k)
	for i, p := range f.rows {
		f.MOVQ(at(f.k, 8*i), p)
	}
	f.ADDQ(operand.U8(8*f.mr), f.k)
	f.MOVQ(f.k, f.table)
}

// steps appends n steps of k. Each reads an element of every row and vecs vectors of the panel, and
// does rows·vecs multiply-adds: more of them per load than the load ports need to keep up.
func (f *microKernel) steps(n int) {
	for s := range n {
		b := f.vectors(f.vecs)
		for j, v := range b {
			f.VMOVUPS(at(f.b, 4*f.lanes*(s*f.vecs+j)), v)
		}
		for i, p := range f.rows {
			x := f.vec()
			f.VBROADCASTSS(operand.Mem{Base: p, Index: f.k, Scale: 4, Disp: 4 * s}, x)
			for j, v := range b {
				f.multiplyAdd(x, v, f.sums[i][j])
			}
		}
	}

	f.ADDQ(operand.I32(int32(4*f.lanes*f.vecs*n)), f.b)
	f.ADDQ(operand.U8(n), f.k)
}

// peakSums is how many independent sums the peak's loop has: more than two units times the latency
// of a multiply-add.
const peakSums = 12

// peak writes a loop of multiply-adds that touches registers only.
func peak(m *maker) {
	m.begin("peak", "turns int", fmt.Sprintf("does turns times %d multiply-adds of %d lanes.",
		peakSums, m.lanes))
	turns := m.arg("turns")
	x, y := m.vec(), m.vec()
	m.zero(x)
	m.zero(y)
	sums := m.vectors(peakSums)
	for _, s := range sums {
		m.zero(s)
	}

	m.Label("loop")
	for _, s := range sums {
		m.multiplyAdd(x, y, s)
	}
	m.DECQ(turns)
	m.JNZ(to("loop"))
	m.end()
}
