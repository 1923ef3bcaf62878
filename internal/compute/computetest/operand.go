package computetest

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

// operandCase is an operand that some operation makes a part of: rows [row, row+n) and columns
// [col, col+width).
type operandCase struct {
	rows, cols, headDim   int
	row, n, col, width    int
	x, y, gain, cos, sine []float32
}

// operandCases are parts of operands for linear layers: odd numbers of rows, parts that begin in
// the middle of what kernels read at a time, widths that fill no panel.
func operandCases() []*operandCase {
	all := []*operandCase{
		{rows: 150, cols: 136, n: 150, width: 136},
		{rows: 131, cols: 64, row: 3, n: 127, col: 0, width: 64},
		{rows: 37, cols: 200, row: 5, n: 17, col: 24, width: 129},
		{rows: 9, cols: 72, row: 8, n: 1, col: 63, width: 2},
		{rows: 1, cols: 8, n: 1, width: 8},
		{rows: 20, cols: 600, row: 3, n: 15, col: 40, width: 540}, // with tiles that are whole
	}
	for i, c := range all {
		r := numbersFrom(uint64(i)) //nolint:gosec // small
		c.x, c.y = r.normal(c.n*c.width, 1), r.normal(c.n*c.width, 1)
		c.gain = r.normal(c.width, 1)
		c.cos, c.sine = r.normal(c.n, 1), r.normal(c.n, 1)
	}
	return all
}

// makers are the operations that may have an operand as dst. Each is called with a part of one, and
// with a float32 matrix, which has to become the same numbers, not yet rounded.
var makers = map[string]func(r *rig, dst compute.Mat, c *operandCase){
	"LayerNorm": func(r *rig, dst compute.Mat, c *operandCase) {
		scale := r.place(c.gain, 1, c.width)
		r.dev.LayerNorm(dst, r.place(c.x, c.n, c.width), compute.Norm{Eps: 1e-6,
			Gain: r.vector(c.gain), Scale: &compute.RowVec{M: scale}})
	},
	"RMSNorm": func(r *rig, dst compute.Mat, c *operandCase) {
		r.dev.RMSNorm(dst, r.place(c.x, c.n, c.width), r.vector(c.gain), 1e-6, nil)
	},
	"RMSNorm with a rope": func(r *rig, dst compute.Mat, c *operandCase) {
		even := c.width / 2 * 2
		x := r.place(c.x, c.n, c.width).ColRange(0, even)
		r.dev.RMSNorm(dst.ColRange(0, even), x, nil, 1e-6, &compute.Rope{HeadDim: 2,
			Cos: r.place(c.cos, c.n, 1), Sin: r.place(c.sine, c.n, 1)})
	},
	"Attention": func(r *rig, dst compute.Mat, c *operandCase) {
		k, v := r.place(c.y, c.n, c.width), r.place(c.x, c.n, c.width)
		heads := 1
		if c.width%2 == 0 {
			heads = 2
		}
		r.dev.Attention(dst, r.place(c.x, c.n, c.width), k, v,
			compute.AttentionArgs{Heads: heads, Scale: 0.1, DType: compute.BF16})
	},
	"Linear": func(r *rig, dst compute.Mat, c *operandCase) { c.linear(r, dst, compute.Epilogue{}) },
	"Linear with an activation": func(r *rig, dst compute.Mat, c *operandCase) {
		c.linear(r, dst, compute.Epilogue{Act: compute.GELUTanh})
	},
	"Linear with a gate": func(r *rig, dst compute.Mat, c *operandCase) {
		c.linear(r, dst, compute.Epilogue{Gate: &compute.RowVec{M: r.place(c.gain, 1, c.width)}})
	},
	"Add": func(r *rig, dst compute.Mat, c *operandCase) {
		r.dev.Add(dst, r.place(c.x, c.n, c.width), r.place(c.y, c.n, c.width))
	},
	"Copy": func(r *rig, dst compute.Mat, c *operandCase) {
		r.dev.Copy(dst, r.place(c.x, c.n, c.width))
	},
	"Upload": func(r *rig, dst compute.Mat, c *operandCase) { r.dev.Upload(dst, c.x) },
}

// linear computes a product of few inputs.
func (c *operandCase) linear(r *rig, dst compute.Mat, ep compute.Epilogue) {
	r.t.Helper()
	const in = 24
	numbers := numbersFrom(2)
	l, err := r.dev.PackLinear(numbers.normal(c.width*in, 1), c.gain, c.width, in, compute.BF16)
	if err != nil {
		r.t.Fatalf("cannot pack: %v", err)
	}
	r.dev.Linear(dst, r.place(numbers.normal(c.n*in, 1), c.n, in), l, ep)
}

// operands checks, on devices that have operands, that each operation which may make one leaves
// there what it leaves in a float32 matrix, rounded, and nothing beside it; and that a product of
// an operand has the bits of the product of those numbers in float32.
func (s *suite) operands(t *testing.T) {
	dev := s.open(t, 1)
	for _, c := range operandCases() {
		if compute.OperandBytes(dev, c.rows, c.cols, c.headDim, compute.BF16) == 0 {
			continue // products read float32
		}
		for name, do := range makers {
			t.Run(fmt.Sprintf("%d x %d %s", c.rows, c.cols, name), func(t *testing.T) {
				r := &rig{t: t, dev: dev, off: 1, gap: 3}
				plain := r.fresh(c.n, c.width)
				r.dev.Upload(plain, make([]float32, c.n*c.width)) // a rope leaves out an odd column
				do(r, plain, c)

				whole := r.operand(c)
				do(r, whole.RowRange(c.row, c.row+c.n).ColRange(c.col, c.col+c.width), c)
				r.compareOperand(whole, c, r.values(plain))
				r.multiplyOperand(whole)
				r.take(plain, 0, c.n)
			})
		}
	}
}

// operand allocates the operand of a case.
func (r *rig) operand(c *operandCase) compute.Mat {
	r.t.Helper()
	mem, err := r.dev.(compute.Rounder).AllocOperand(c.rows, c.cols, c.headDim, compute.BF16)
	if err != nil {
		r.t.Fatalf("cannot allocate an operand: %v", err)
	}
	r.mems = append(r.mems, mem)
	return compute.NewMat(mem, c.rows, c.cols)
}

// values downloads a matrix.
func (r *rig) values(m compute.Mat) []float32 {
	r.t.Helper()
	v := make([]float32, m.Rows*m.Cols)
	r.download(v, m)
	return v
}

// compareOperand checks that an operand has part [n, width] where the case says, rounded, and zeros
// elsewhere: read in one, and the part as it travels to other ranks.
func (r *rig) compareOperand(whole compute.Mat, c *operandCase, part []float32) {
	r.t.Helper()
	want := make([]float32, c.rows*c.cols)
	for i, v := range part {
		want[(c.row+i/c.width)*c.cols+c.col+i%c.width] = float32(rounded(v, compute.BF16))
	}
	same(r.t, r.values(whole), want, "the operand")

	m := whole.RowRange(c.row, c.row+c.n).ColRange(c.col, c.col+c.width)
	bytes := make([]byte, 2*c.n*c.width)
	if err := r.dev.DownloadBF16(bytes, m); err != nil {
		r.t.Fatalf("cannot download: %v", err)
	}
	again := r.operand(c)
	r.dev.UploadBF16(again.RowRange(c.row, c.row+c.n).ColRange(c.col, c.col+c.width), bytes)
	same(r.t, r.values(again), want, "what came back")
}

// multiplyOperand checks that the product of an operand, from each row on at which one may begin to
// read it, has the bits of the product of its numbers in float32.
func (r *rig) multiplyOperand(whole compute.Mat) {
	r.t.Helper()
	out := 7
	w := numbersFrom(1).normal(out*whole.Cols, 1)
	l, err := r.dev.PackLinear(w, nil, out, whole.Cols, compute.BF16)
	if err != nil {
		r.t.Fatalf("cannot pack: %v", err)
	}

	values := r.values(whole)
	for lo := 0; lo < whole.Rows; lo += 8 * compute.OperandRows {
		n := whole.Rows - lo
		plain := r.place(values[lo*whole.Cols:], n, whole.Cols)
		want, got := r.fresh(n, out), r.fresh(n, out)
		r.dev.Linear(want, plain, l, compute.Epilogue{})
		r.dev.Linear(got, whole.RowRange(lo, whole.Rows), l, compute.Epilogue{})
		same(r.t, r.values(got), r.values(want), "the product of rows from %d on", lo)
	}
}

// attentionOperands checks, on devices that have such operands, that attention to keys and values
// that are operands has the bits of attention to those numbers in float32: to some of the rows, and
// for some of the heads.
func (s *suite) attentionOperands(t *testing.T) {
	const queries, all, keys = 37, 401, 259
	dev := s.open(t, 1)
	for _, hd := range []int{64, 128, 32, 20} {
		for _, heads := range []int{1, 3} {
			c := &operandCase{rows: all, cols: heads * hd, headDim: hd}
			if compute.OperandBytes(dev, all, c.cols, hd, compute.BF16) == 0 {
				continue // attention reads float32
			}
			t.Run(fmt.Sprintf("%d heads of %d", heads, hd), func(t *testing.T) {
				r, numbers := &rig{t: t, dev: dev, off: 1, gap: 3}, numbersFrom(uint64(hd))
				args := compute.AttentionArgs{Heads: heads - heads/2, Scale: 0.1, LastKeyBias: 1,
					DType: compute.BF16}
				lo := heads / 2 * hd

				part := func(m compute.Mat) compute.Mat { return m.RowRange(0, keys).ColRange(lo, c.cols) }
				q := r.place(numbers.normal(queries*c.cols, 1), queries, c.cols).ColRange(lo, c.cols)
				k, v := numbers.normal(all*c.cols, 1), numbers.normal(all*c.cols, 1)
				want, got := r.fresh(queries, c.cols-lo), r.fresh(queries, c.cols-lo)
				dev.Attention(want, q, part(r.place(k, all, c.cols)), part(r.place(v, all, c.cols)), args)

				keys, vals := r.operand(c), r.operand(c)
				dev.Upload(keys, k)
				dev.Upload(vals, v)
				dev.Attention(got, q, part(keys), part(vals), args)
				same(t, r.values(got), r.values(want), "attention to operands")
				r.take(got, 0, queries)
			})
		}
	}
}
