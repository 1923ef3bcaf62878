//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"gorgonia.org/cu"
)

// vector is a row of parameters.
type vector struct {
	n    int
	data *memory
}

// Len returns the number of elements.
func (v *vector) Len() int { return v.n }

// linear is outputs [lo, hi) of a weight [out, in], in float32 or bfloat16.
type linear struct {
	whole  *packed
	lo, hi int
}

// packed is a weight with its bias on the GPU. Linears that are parts of it share it. The garbage
// collector returns its memory: models are dropped as a whole and never free their weights.
type packed struct {
	out, in int
	dtype   compute.DType
	weight  *memory // [out, in] row by row, or the panels of v3
	bias    *memory // float32; nil: none
	scales  *memory // float32, of outputs in FP8; nil otherwise
}

// Dims returns out and in.
func (l *linear) Dims() (out, in int) { return l.hi - l.lo, l.whole.in }

// Part views outputs [lo, hi).
func (l *linear) Part(lo, hi int) compute.Linear {
	if out, _ := l.Dims(); lo < 0 || hi <= lo || hi > out {
		panic(fmt.Sprintf("cuda: outputs [%d, %d) of %d", lo, hi, out))
	}
	return &linear{whole: l.whole, lo: l.lo + lo, hi: l.lo + hi}
}

// weight returns where the rows of the part begin.
func (l *linear) weight() value {
	return arg(l.whole.weight.at + cu.DevicePtr(l.lo*l.whole.in*sizeOf(l.whole.dtype)))
}

// bias returns where the bias of the part begins, 0 where there is none.
func (l *linear) bias() value {
	if l.whole.bias == nil {
		return 0
	}
	return arg(l.whole.bias.at + cu.DevicePtr(4*l.lo))
}

// upload copies parameters to memory of their own, nil for none; see owned.
func upload[T any](d *Device, owner *T, bytes []byte) (*memory, error) {
	if len(bytes) == 0 {
		return nil, nil
	}
	m, err := owned(d, owner, int64(len(bytes)))
	if err != nil {
		return nil, err
	}
	d.up(block{at: m.at, rows: 1, width: int64(len(bytes))}, bytes)
	return m, d.failure()
}

// owned takes memory that goes back to the arena when the collector finds owner unreachable.
func owned[T any](d *Device, owner *T, bytes int64) (*memory, error) {
	m, err := d.take(bytes)
	if err == nil {
		m.owner = runtime.AddCleanup(owner, d.memory.freeLater, m)
	}
	return m, err
}

// Drop implements compute.Dropper.
func (d *Device) Drop(w compute.Linear) {
	l, ok := w.(*linear)
	if !ok {
		panic(fmt.Sprintf("cuda: Drop: weight is a %T, not of a GPU", w))
	}
	d.enter("Drop")
	defer d.leave()
	for _, m := range []*memory{l.whole.weight, l.whole.bias, l.whole.scales} {
		if m != nil && !m.freed {
			m.owner.Stop()
			d.keep(d.memory.give(m))
		}
	}
}

// Vector copies a row of parameters to the device.
func (d *Device) Vector(v []float32) (compute.Vector, error) {
	d.enter("Vector")
	defer d.leave()
	p := &vector{n: len(v)}
	var err error
	if p.data, err = upload(d, p, bytesOf(v)); err != nil {
		return nil, err
	}
	if p.data == nil {
		p.data = &memory{}
	}
	return p, nil
}

// PackLinear copies a weight [out, in] and a bias [out] or nil to the device.
func (d *Device) PackLinear(w, bias []float32, out, in int, t compute.DType) (compute.Linear,
	error) {
	return d.PackStored([]tensor.Tensor{tensor.FromFloat32(w, len(w))}, bias, out, in, t)
}

// PackStored implements compute.StoredPacker: it is PackLinear of a weight as a file holds it. It
// goes up in pieces and is converted on the GPU, so that a mapped file is read once and nothing of
// its size is allocated on the host.
func (d *Device) PackStored(parts []tensor.Tensor, bias []float32, out, in int,
	t compute.DType) (compute.Linear, error) {
	p, err := d.pack(parts, bias, out, in, t)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a linear weight: %w", err)
	}
	return &linear{whole: p, hi: out}, nil
}

// pack brings a weight and its bias to the device, in the layout that the weight's kernel reads.
func (d *Device) pack(parts []tensor.Tensor, bias []float32, out, in int,
	t compute.DType) (*packed, error) {
	elements := 0
	for _, p := range parts {
		elements += p.Shape.Elements()
	}
	if err := compute.CheckWeight(elements, bias, out, in, t); err != nil {
		return nil, err
	}
	if !slices.Contains(d.DTypes(), t) {
		return nil, fmt.Errorf("%s has no products in %v", d.Name(), t)
	}

	d.enter("pack")
	defer d.leave()
	p := &packed{out: out, in: in, dtype: t}
	var err error
	if by := d.linearOf(in, out, t).kernel; by == linearV3 {
		err = d.storePanels(p, parts)
	} else if by == linearFP8 {
		err = d.storeFP8(p, parts)
	} else if p.weight, err = owned(d, p, int64(elements*sizeOf(t))); err == nil {
		err = d.convert(p.weight.at, parts, t)
	}
	if err != nil {
		return nil, err
	}

	p.bias, err = upload(d, p, bytesOf(bias))
	return p, err
}

// sizeOf returns the bytes of an element of a weight.
func sizeOf(t compute.DType) int {
	if t == compute.BF16 {
		return 2
	}
	return 4
}

// convert brings the tensors of parts to the GPU, one after the other, as elements of type t. They
// go up in pieces of a staging slot, so that their size on the host does not matter.
func (d *Device) convert(at cu.DevicePtr, parts []tensor.Tensor, t compute.DType) error {
	for _, p := range parts {
		size := p.DType.Size()
		if len(p.Data) != size*p.Shape.Elements() {
			return fmt.Errorf("a tensor of %v %v has %d bytes", p.DType, p.Shape, len(p.Data))
		}
		for n := slotBytes / size; len(p.Data) > 0; p.Data = p.Data[n*size:] {
			n = min(n, len(p.Data)/size)
			piece := tensor.Tensor{DType: p.DType, Shape: tensor.Shape{n}, Data: p.Data[:n*size]}
			if err := d.piece(at, piece, t); err != nil {
				return err
			}
			at += cu.DevicePtr(n * sizeOf(t))
		}
	}
	return nil
}

// piece brings up to a slot of values to the GPU as elements of type t. float32 and bfloat16 travel
// as they are and are converted there; other types become float32 on the host first.
func (d *Device) piece(at cu.DevicePtr, p tensor.Tensor, t compute.DType) error {
	n := p.Shape.Elements()
	if p.DType != tensor.F32 && p.DType != tensor.BF16 {
		v, err := p.Float32()
		if err != nil {
			return err
		}
		p = tensor.FromFloat32(v, n)
	}

	// The file's type is the wanted one.
	if (p.DType == tensor.BF16) == (t == compute.BF16) {
		d.up(block{at: at, rows: 1, width: int64(len(p.Data))}, p.Data)
		return d.failure()
	}

	raw := d.grow(&d.scratch, len(p.Data))
	if raw == nil {
		return d.failure()
	}
	d.up(block{at: raw.at, rows: 1, width: int64(len(p.Data))}, p.Data)
	if row := (view{rows: 1, cols: n}); t == compute.BF16 {
		d.elements(packBF16, row, packParams(at, view{at: raw.at, rows: 1, cols: n, stride: n})...)
	} else {
		d.elements(unpackBF16, row, unpackParams(view{at: at, rows: 1, cols: n, stride: n}, raw.at)...)
	}
	return d.failure()
}
