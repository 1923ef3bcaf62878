package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// linear is a packed weight with its bias, nil when there is none.
type linear struct {
	panels
	in   int          // inputs; panels.k counts them in units
	skip int          // columns of the first panel before the first output, see Part
	bias []float32    // of the outputs
	bf16 *bf16Kernels // nil in float32

	scales []float32 // of the outputs, in FP8; nil otherwise
}

// Dims returns out and in.
func (l *linear) Dims() (out, in int) { return l.n - l.skip, l.in }

// Part views outputs [lo, hi). Panels cannot be cut, so it begins with the panel that lo is in and
// skips the columns before lo.
func (l *linear) Part(lo, hi int) compute.Linear {
	if out, _ := l.Dims(); lo < 0 || hi <= lo || hi > out {
		panic(fmt.Sprintf("cpu: outputs [%d, %d) of %d", lo, hi, out))
	}
	p := *l
	if p.bias != nil {
		p.bias = p.bias[lo:hi]
	}
	if p.scales != nil {
		p.scales = p.scales[lo:hi]
	}
	from := (l.skip + lo) / l.nr * l.nr
	p.panels = l.from(from)
	p.skip, p.n = l.skip+lo-from, l.skip+hi-from
	p.padded = min(p.padded, roundUp(p.n, l.nr))
	return &p
}

// PackLinear packs a weight [out, in] and a bias [out] or nil. It refuses sizes that do not match.
func (d *Device) PackLinear(w, bias []float32, out, in int, t compute.DType) (compute.Linear,
	error) {
	return d.PackStored([]tensor.Tensor{tensor.FromFloat32(w, len(w))}, bias, out, in, t)
}

// bf16For returns how to multiply in a type, nil for float32.
func (d *Device) bf16For(t compute.DType) *bf16Kernels {
	if t != compute.FP32 {
		return &d.kern.bf16
	}
	return nil
}

// checkWeight checks the sizes of a weight with its bias and accounts for their memory once packed.
func (d *Device) checkWeight(w *stored, bias []float32, t compute.DType) error {
	if err := compute.CheckWeight(w.elements(), bias, w.n, w.k, t); err != nil {
		return err
	}
	n := d.kern.padded(w.n) * w.k
	if bf16 := d.bf16For(t); bf16 != nil || w.halves(nil) {
		n = d.kern.padded(w.n) * ceil(w.k, 2) // two bytes each, whichever way they are multiplied
	}
	return d.take(n + len(bias))
}

// Linear computes dst = ep(x·Wᵀ + b); see compute.Device.
func (d *Device) Linear(dst, x compute.Mat, w compute.Linear, ep compute.Epilogue) {
	l, ok := w.(*linear)
	if !ok {
		panic(fmt.Sprintf("cpu: Linear: weight is a %T, not of the cpu device", w))
	}
	in := sized("Linear", "x", x, x.Rows, l.in)
	out := sized("Linear", "dst", dst, x.Rows, l.n-l.skip)
	check.Apart("Linear", "dst", "x", dst, x)
	if l.scales != nil {
		d.linearFP8(dst, x, l, ep)
		return
	}

	// A small input is rounded once, in a pass of its own, not again for every task.
	if d.matrix = newMatrix(in, l.bf16); d.matrix.copied && l.n > d.kern.nr &&
		(l.stored != nil || l.bf16 != nil && in.rows*l.k <= narrowMost) {
		d.matrix = newMatrix(d.narrowed(in, l), nil)
	}

	p := product{m: in.rows, src: &d.matrix, w: &l.panels, bf16: l.bf16, gemm: d.kern.gemm,
		span: l.k, skip: l.skip, ep: newEpilogue("Linear", d.kern, l.bias, ep, out)}
	if l.bf16 != nil {
		p.gemm = l.bf16.gemm
	}
	d.multiply(p)
}

// narrowMost is the units of an input that are rounded in a pass of their own, at most: about what
// stays in the second cache.
const narrowMost = 1 << 19

// narrowed rounds x to units of l's type; float32 is copied to rows that do not share cache sets.
func (d *Device) narrowed(x view, l *linear) view {
	ld := roundUp(l.k, lineLen) + lineLen // no multiple of alias
	out := view{data: floats(&d.units, x.rows*ld), rows: x.rows, cols: l.k, stride: ld}
	row := (*rowwise).narrow
	if l.bf16 == nil {
		row = (*rowwise).copy
	}
	d.each(rowwise{in: x, out: out, row: row})
	return out
}

// narrow rounds a row to units.
func (o *rowwise) narrow(_ *worker, i int) { o.kern.bf16.narrow(o.out.row(i), o.in.row(i)) }
