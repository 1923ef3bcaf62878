package cpu

import (
	"math"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
)

// rowwise is an operation whose rows are computed one by one, with the arguments of all such
// operations. A Device keeps the running one in place, so that running it allocates nothing.
type rowwise struct {
	kern         *kernels
	out, in      view
	row          func(o *rowwise, w *worker, i int) // computes row i
	act          compute.Activation
	other        view      // a second matrix
	gain, bias   []float32 // nil: left out
	scales       []float32 // of rows, a result
	scale, shift rowVec
	eps          float64
	rope         rotation
	blocks       blocks
	chunk        int // rows of a task
	nonFinite    *atomic.Bool
}

// elementsPerTask is the elements of a task at least: some microseconds of work, so that taking a
// task costs little next to it.
const elementsPerTask = 8192

// each runs o over the rows of its input.
func (d *Device) each(o rowwise) {
	o.kern, o.nonFinite, o.chunk = d.kern, &d.nonFinite, max(1, elementsPerTask/max(1, o.in.cols))
	d.rowwise = o
	d.pool.run(ceil(o.in.rows, o.chunk), &d.rowwise)
}

// do computes the rows of a task.
func (o *rowwise) do(w *worker, task int) {
	for i := task * o.chunk; i < min(o.in.rows, (task+1)*o.chunk); i++ {
		o.row(o, w, i)
	}
}

// checkFinite looks at the factor by which a norm scales a row. It is a number above 0 only if the
// whole row is finite, because float64 holds the sum of squares of any float32 values.
func (o *rowwise) checkFinite(inverse float64) {
	if !(inverse > 0 && inverse <= math.MaxFloat64) {
		o.nonFinite.Store(true)
	}
}

// SawNonFinite implements compute.FiniteObserver. It loads before it swaps, so that the usual
// answer writes nothing to a cache line that workers read.
func (d *Device) SawNonFinite() bool { return d.nonFinite.Load() && d.nonFinite.Swap(false) }

// inOut checks the matrices of an operation from x to dst.
func inOut(op string, dst, x compute.Mat) rowwise {
	return rowwise{in: viewOf(op, "x", x), out: sized(op, "dst", dst, x.Rows, x.Cols)}
}
