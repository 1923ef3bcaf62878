package cpu

import "github.com/longtake/longtake/internal/compute"

// Activate computes dst = act(x). dst may be x.
func (d *Device) Activate(dst, x compute.Mat, act compute.Activation) {
	checkActivation("Activate", act)
	in := viewOf("Activate", "x", x)
	out := sized("Activate", "dst", dst, x.Rows, x.Cols)
	d.pool.eachRow(in.rows, in.cols, func(w *worker, i int) {
		w.finishing = finishing{act: act}
		d.kern.finish(out.row(i), in.row(i), &w.finishing)
	})
}

// AddVector computes dst[i,:] = x[i,:] + v. dst may be x.
func (d *Device) AddVector(dst, x compute.Mat, v compute.Vector) {
	in := viewOf("AddVector", "x", x)
	out := sized("AddVector", "dst", dst, x.Rows, x.Cols)
	add := vectorOf("AddVector", "v", v, x.Cols)
	if add == nil {
		panic("cpu: AddVector: v is nil")
	}
	d.pool.eachRow(in.rows, in.cols, func(w *worker, i int) {
		w.finishing = finishing{residual: add}
		d.kern.finish(out.row(i), in.row(i), &w.finishing)
	})
}

// Add computes dst = a + b element by element. dst may be a or b.
func (d *Device) Add(dst, a, b compute.Mat) {
	x := viewOf("Add", "a", a)
	y := sized("Add", "b", b, a.Rows, a.Cols)
	out := sized("Add", "dst", dst, a.Rows, a.Cols)
	d.pool.eachRow(x.rows, x.cols, func(w *worker, i int) {
		w.finishing = finishing{residual: y.row(i)}
		d.kern.finish(out.row(i), x.row(i), &w.finishing)
	})
}

// Copy copies src to dst, which must not overlap.
func (d *Device) Copy(dst, src compute.Mat) {
	from := viewOf("Copy", "src", src)
	to := sized("Copy", "dst", dst, src.Rows, src.Cols)
	apart("Copy", "dst", "src", dst, src)
	d.pool.eachRow(from.rows, from.cols, func(_ *worker, i int) { copy(to.row(i), from.row(i)) })
}
