package cpu

import "github.com/longtake/longtake/internal/compute"

// Activate computes dst = act(x). dst may be x.
func (d *Device) Activate(dst, x compute.Mat, act compute.Activation) {
	check.Activation("Activate", act)
	o := inOut("Activate", dst, x)
	o.act, o.row = act, (*rowwise).finish
	d.each(o)
}

// AddVector computes dst[i,:] = x[i,:] + v. dst may be x.
func (d *Device) AddVector(dst, x compute.Mat, v compute.Vector) {
	o := inOut("AddVector", dst, x)
	if o.bias = vectorOf("AddVector", "v", v, x.Cols); o.bias == nil {
		panic("cpu: AddVector: v is nil")
	}
	o.row = (*rowwise).finish
	d.each(o)
}

// Add computes dst = a + b element by element. dst may be a or b.
func (d *Device) Add(dst, a, b compute.Mat) {
	o := inOut("Add", dst, a)
	o.other, o.row = sized("Add", "b", b, a.Rows, a.Cols), (*rowwise).finish
	d.each(o)
}

// finish computes a row of out = act(in+bias) + other.
func (o *rowwise) finish(w *worker, i int) {
	w.finishing = finishing{bias: o.bias, act: o.act, residual: o.other.rowOrNil(i)}
	o.kern.finish(o.out.row(i), o.in.row(i), 1, o.in.cols, &w.finishing)
}

// Copy copies src to dst, which must not overlap.
func (d *Device) Copy(dst, src compute.Mat) {
	check.Apart("Copy", "dst", "src", dst, src)
	o := inOut("Copy", dst, src)
	o.row = (*rowwise).copy
	d.each(o)
}

// copy copies row i.
func (o *rowwise) copy(_ *worker, i int) { copy(o.out.row(i), o.in.row(i)) }
