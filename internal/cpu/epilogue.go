package cpu

import "github.com/longtake/longtake/internal/compute"

// rowVec is a checked compute.RowVec; without rows it is not set.
type rowVec struct {
	m     view
	index []int32
}

// rowVecOf checks r for rows x cols; a nil r gives one that is not set.
func rowVecOf(op, name string, r *compute.RowVec, rows, cols int) rowVec {
	if r == nil {
		return rowVec{}
	}
	check.RowVec(op, name, r, rows)
	return rowVec{m: sized(op, name, r.M, r.M.Rows, cols), index: r.Index}
}

// row returns the vector of row i, nil when none is set.
func (r *rowVec) row(i int) []float32 {
	switch {
	case r.m.rows == 0:
		return nil
	case r.index == nil:
		return r.m.row(0)
	}
	return r.m.row(int(r.index[i]))
}

// epilogue finishes the rows of a product and writes them to dst, while the sums are in cache.
type epilogue struct {
	finish        func(dst, y []float32, rows, n int, f *finishing)
	dst           view
	bias          []float32
	act           compute.Activation
	mul, residual view // without rows: not set
	gate          rowVec

	rowScales, colScales []float32 // of the operands in FP8; nil otherwise
}

// newEpilogue checks ep for rows of dst. bias is nil or has an element per column.
func newEpilogue(op string, kern *kernels, bias []float32, ep compute.Epilogue,
	dst view) epilogue {
	check.Activation(op, ep.Act)
	return epilogue{
		finish: kern.finish, dst: dst, bias: bias, act: ep.Act,
		mul:      optional(op, "Mul", ep.Mul, dst),
		gate:     rowVecOf(op, "Gate", ep.Gate, dst.rows, dst.cols),
		residual: optional(op, "Residual", ep.Residual, dst),
	}
}

// optional views a matrix of like's size; what is not set has no rows.
func optional(op, name string, m *compute.Mat, like view) view {
	if m == nil {
		return view{}
	}
	return sized(op, name, *m, like.rows, like.cols)
}

// store finishes columns [col, col+n) of rows, which lie ld apart in y.
func (e *epilogue) store(w *worker, row, rows, col, n int, y []float32, ld int) {
	// With an index, rows may have different gates, so each is a call of its own.
	if e.gate.index != nil && rows > 1 {
		for i := range rows {
			e.store(w, row+i, 1, col, n, y[i*ld:], ld)
		}
		return
	}
	w.finishing = finishing{act: e.act, bias: rowOf(e.bias, col, n),
		gate: rowOf(e.gate.row(row), col, n), mul: e.mul.from(row, col),
		residual: e.residual.from(row, col), dstStep: e.dst.stride, yStep: ld,
		mulStep: e.mul.stride, residStep: e.residual.stride}
	e.finish(e.dst.from(row, col), y, rows, n, &w.finishing)
}
