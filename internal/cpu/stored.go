package cpu

import (
	"fmt"
	"unsafe"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// The tasks of a product with a weight in its file: rows that it multiplies a panel with once it
// has packed it, and steps of k, which are read from a row of the file in one piece. They change
// speed, never bits.
const (
	storedRows  = 1024
	storedDepth = 1024
)

// stored is a weight [n, k] as a file holds it: tensors whose rows lie one below the other.
type stored struct {
	parts []tensor.Tensor
	n, k  int
}

// floatRows views a weight [n, k] in float32.
func floatRows(w []float32, n, k int) *stored {
	return &stored{[]tensor.Tensor{tensor.FromFloat32(w, n*k)}, n, k}
}

// newStored checks that parts are whole rows of k numbers, n together.
func newStored(parts []tensor.Tensor, n, k int) (*stored, error) {
	for _, p := range parts {
		switch p.DType {
		case tensor.F64, tensor.F32, tensor.F16, tensor.BF16:
		default:
			return nil, fmt.Errorf("weight is %v; allowed: F32, BF16, F16, F64", p.DType)
		}
		if e := p.Shape.Elements(); e%max(1, k) != 0 || len(p.Data) != e*p.DType.Size() {
			return nil, fmt.Errorf("weight has %d bytes for %v %v in rows of %d", len(p.Data), p.DType,
				p.Shape, k)
		}
	}
	return &stored{parts, n, k}, nil
}

// elements returns how many numbers there are.
func (s *stored) elements() int {
	n := 0
	for _, p := range s.parts {
		n += p.Shape.Elements()
	}
	return n
}

// halves reports whether panels of s lose nothing where they keep two bytes of each number, and the
// product takes numbers one by one.
func (s *stored) halves(bf16 *bf16Kernels) bool {
	if bf16 != nil {
		return bf16.per == 1
	}
	for _, p := range s.parts {
		if p.DType != tensor.BF16 {
			return false
		}
	}
	return true
}

// row returns row i as it is stored.
func (s *stored) row(i int) (tensor.DType, []byte) {
	for _, p := range s.parts {
		size := s.k * p.DType.Size()
		if rows := len(p.Data) / size; i >= rows {
			i -= rows
			continue
		}
		return p.DType, p.Data[i*size : (i+1)*size]
	}
	panic(fmt.Sprintf("cpu: no row %d in a weight of %d", i, s.n))
}

// units writes units of row i to dst, from unit k0 on: float32, or what bf16 multiplies. wide is
// scratch.
func (s *stored) units(dst []float32, wide *[]float32, kern *kernels, bf16 *bf16Kernels, i,
	k0 int) {
	t, row := s.row(i)
	if bf16 == nil {
		widenInto(dst, kern, t, row[k0*t.Size():])
		return
	}

	from, to := k0*bf16.per, min((k0+len(dst))*bf16.per, s.k)
	row = row[from*t.Size() : to*t.Size()]
	if t == tensor.BF16 && bf16.per == 2 { // pairs as they are; the last may lack its partner
		units := tensor.Bytes(dst)
		clear(units[copy(units, row):])
		return
	}
	x := floats(wide, to-from)
	widenInto(x, kern, t, row)
	bf16.narrow(dst, x)
}

// widenInto turns the first len(dst) numbers of row into float32, rounding those of float64.
func widenInto(dst []float32, kern *kernels, t tensor.DType, row []byte) {
	row = row[:len(dst)*t.Size()]

	switch t {
	case tensor.F32:
		copy(tensor.Bytes(dst), row)
	case tensor.BF16:
		if len(dst) == 0 {
			return
		}
		// Whole vectors, then the rest.
		x := unsafe.Slice((*uint16)(unsafe.Pointer(&row[0])), len(dst))
		whole := len(dst) / lineLen * lineLen
		kern.widen(dst[:whole], x[:whole])
		widenGeneric(dst[whole:], x[whole:])
	default:
		v, err := tensor.Tensor{DType: t, Shape: tensor.Shape{len(dst)}, Data: row}.Float32()
		if err != nil {
			panic("cpu: " + err.Error()) // newStored has checked the type
		}
		copy(dst, v)
	}
}

var (
	_ compute.StoredPacker = (*Device)(nil)
	_ compute.FileBinder   = (*Device)(nil)
)

// PackStored implements compute.StoredPacker. A weight that is bfloat16 in its file stays so.
func (d *Device) PackStored(parts []tensor.Tensor, bias []float32, out, in int,
	t compute.DType) (compute.Linear, error) {
	w, err := newStored(parts, out, in)
	if err == nil {
		err = d.checkWeight(w, bias, t)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot pack a linear weight: %w", err)
	}
	bf16 := d.bf16For(t)
	l := &linear{in: in, bf16: bf16, bias: append([]float32(nil), bias...)}
	if t == compute.FP8 {
		w, l.scales = quantised(d.kern, w)
	}
	l.panels = packPanels(d.kern, w, bf16)
	return l, nil
}

// BindStored implements compute.FileBinder: a product packs what it is about to multiply. No file
// has what FP8 multiplies, so such a weight is packed once.
func (d *Device) BindStored(parts []tensor.Tensor, bias []float32, out, in int,
	t compute.DType) (compute.Linear, error) {
	if t == compute.FP8 {
		return d.PackStored(parts, bias, out, in, t)
	}
	w, err := newStored(parts, out, in)
	if err == nil {
		err = compute.CheckWeight(w.elements(), bias, out, in, t)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot bind a linear weight: %w", err)
	}
	bf16 := d.bf16For(t)
	p := newPanels(d.kern, w, bf16)
	p.stored = w
	return &linear{in: in, bf16: bf16, panels: p, bias: append([]float32(nil), bias...)}, nil
}
