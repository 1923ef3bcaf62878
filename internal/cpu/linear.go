package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

// linear is a packed weight with its bias, nil when there is none.
type linear struct {
	panels
	bias []float32
}

// Dims returns out and in.
func (l *linear) Dims() (out, in int) { return l.n, l.k }

// PackLinear packs a weight [out, in] and a bias [out] or nil. It refuses sizes that do not match.
func (d *Device) PackLinear(w, bias []float32, out, in int) (compute.Linear, error) {
	if err := d.checkWeight(w, bias, out, in); err != nil {
		return nil, fmt.Errorf("cannot pack a linear weight: %w", err)
	}
	return &linear{
		panels: packPanels(d.kern, w, out, in),
		bias:   append([]float32(nil), bias...),
	}, nil
}

// checkWeight checks the sizes of a weight [n, k] with its bias and accounts for their memory.
func (d *Device) checkWeight(w, bias []float32, n, k int) error {
	if n < 1 || k < 1 {
		return fmt.Errorf("shape is %d x %d, want both positive", n, k)
	}
	if len(w) != n*k {
		return fmt.Errorf("weight has %d values, want %d x %d", len(w), n, k)
	}
	if bias != nil && len(bias) != n {
		return fmt.Errorf("bias has %d values, want %d", len(bias), n)
	}
	return d.take(d.kern.padded(n)*k + len(bias))
}

// Linear computes dst = ep(x·Wᵀ + b); see compute.Device.
func (d *Device) Linear(dst, x compute.Mat, w compute.Linear, ep compute.Epilogue) {
	l, ok := w.(*linear)
	if !ok {
		panic(fmt.Sprintf("cpu: Linear: weight is a %T, not of the cpu device", w))
	}
	in := sized("Linear", "x", x, x.Rows, l.k)
	out := sized("Linear", "dst", dst, x.Rows, l.n)
	apart("Linear", "dst", "x", dst, x)
	d.multiply(&product{m: in.rows, src: newMatrix(in), w: l.panels, gemm: d.kern.gemm, span: l.k,
		ep: newEpilogue("Linear", d.kern, l.bias, ep, out)})
}
