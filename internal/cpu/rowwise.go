package cpu

import (
	"math"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
)

// rowwise is an operation whose rows are computed one by one. A Device keeps the one at work in
// place, so that running it allocates nothing.
type rowwise struct {
	kern         *kernels
	out, in      view
	row          func(o *rowwise, w *worker, i int)
	act          compute.Activation
	other        view      // a second matrix
	gain, bias   []float32 // nil: left out
	scale, shift rowVec
	eps          float64
	rope         rotation
	chunk        int // rows of a task
	nonFinite    *atomic.Bool
}

// elementsPerTask is how many elements a task has at least.
const elementsPerTask = 8192

// each runs o over the rows of its input.
func (d *Device) each(o rowwise) {
	o.kern, o.nonFinite, o.chunk = d.kern, &d.nonFinite, max(1, elementsPerTask/max(1, o.in.cols))
	d.rowwise = o
	d.pool.run(ceil(o.in.rows, o.chunk), &d.rowwise)
}

func (o *rowwise) do(w *worker, task int) {
	for i := task * o.chunk; i < min(o.in.rows, (task+1)*o.chunk); i++ {
		o.row(o, w, i)
	}
}

// judge looks at what a norm scales a row with: it is a number above 0 only if all of the row is
// finite, for float64 holds the squares of every float32.
func (o *rowwise) judge(inverse float64) {
	if !(inverse > 0 && inverse <= math.MaxFloat64) {
		o.nonFinite.Store(true)
	}
}

// SawNonFinite implements compute.FiniteObserver.
func (d *Device) SawNonFinite() bool { return d.nonFinite.Load() && d.nonFinite.Swap(false) }

// inOut checks the matrices of an operation from x to dst.
func inOut(op string, dst, x compute.Mat) rowwise {
	return rowwise{in: viewOf(op, "x", x), out: sized(op, "dst", dst, x.Rows, x.Cols)}
}
