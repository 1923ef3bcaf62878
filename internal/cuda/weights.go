//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"runtime"

	"github.com/longtake/longtake/internal/compute"
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

// packed is a weight with its bias on the GPU. The memory goes back once nobody refers to it.
type packed struct {
	out, in int
	dtype   compute.DType
	weight  *memory
	bias    *memory // nil: none
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

// weight and bias return where those of the part begin.
func (l *linear) weight() value {
	size := 4
	if l.whole.dtype == compute.BF16 {
		size = 2
	}
	return arg(l.whole.weight.at + cu.DevicePtr(l.lo*l.whole.in*size))
}

func (l *linear) bias() value {
	if l.whole.bias == nil {
		return 0
	}
	return arg(l.whole.bias.at + cu.DevicePtr(4*l.lo))
}

// convolution is a weight [out, taps, in].
type convolution struct {
	*packed
	shape compute.ConvShape
}

// Shape returns the shape of the weight it was packed from.
func (c *convolution) Shape() compute.ConvShape { return c.shape }

// upload copies parameters to memory of their own, nil for none; owner's end gives it back.
func upload[T any](d *Device, owner *T, bytes []byte) (*memory, error) {
	if len(bytes) == 0 {
		return nil, nil
	}
	m, err := d.take(int64(len(bytes)))
	if err != nil {
		return nil, err
	}
	d.up(block{at: m.at, rows: 1, width: int64(len(bytes))}, bytes)
	runtime.AddCleanup(owner, d.memory.lose, m)
	return m, d.err
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
	p, err := d.pack(w, bias, out, in, t)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a linear weight: %w", err)
	}
	return &linear{whole: p, hi: out}, nil
}

func (d *Device) pack(w, bias []float32, out, in int, t compute.DType) (*packed, error) {
	if out < 1 || in < 1 || len(w) != out*in {
		return nil, fmt.Errorf("weight has %d values, want %d x %d, both positive", len(w), out, in)
	}
	if bias != nil && len(bias) != out {
		return nil, fmt.Errorf("bias has %d values, want %d", len(bias), out)
	}
	if t > compute.BF16 {
		return nil, fmt.Errorf("type %d is unknown", t)
	}
	d.enter("pack")
	defer d.leave()
	p := &packed{out: out, in: in, dtype: t}
	var err error
	switch {
	case t == compute.FP32:
		p.weight, err = upload(d, p, bytesOf(w))
	case d.linearOf(in, out, t).kernel == linearV3:
		p.weight, err = d.uploadPanels(p, w)
	default:
		p.weight, err = upload(d, p, bytesOf(narrow(w)))
	}
	if err != nil {
		return nil, err
	}
	p.bias, err = upload(d, p, bytesOf(bias))
	return p, err
}

// narrow rounds to bfloat16, ties to even; NaN stays NaN.
func narrow(x []float32) []uint16 {
	out := make([]uint16, len(x))
	for i, v := range x {
		bits := math.Float32bits(v)
		if v == v {
			bits += 0x7fff + bits>>16&1
		} else {
			bits |= 1 << 22
		}
		out[i] = uint16(bits >> 16)
	}
	return out
}

// PackConv copies a weight [out, in, kt, kh, kw], its taps before its channels, and a bias [out] or
// nil to the device.
func (d *Device) PackConv(w, bias []float32, s compute.ConvShape) (compute.Conv, error) {
	const most = 1 << 16
	for _, n := range []int{s.Out, s.In, s.KT, s.KH, s.KW} {
		if n < 1 || n > most {
			return nil, fmt.Errorf("cannot pack a convolution: shape %+v, want 1 to %d", s, most)
		}
	}
	taps := s.KT * s.KH * s.KW
	k := s.In * taps
	if len(w) != s.Out*k {
		return nil, fmt.Errorf("cannot pack a convolution: weight has %d values, want %+v", len(w), s)
	}
	byTap := make([]float32, len(w)) // [out, taps, in]
	for i := range byTap {
		out, tap, in := i/k, i%k/s.In, i%s.In
		byTap[i] = w[out*k+in*taps+tap]
	}
	p, err := d.pack(byTap, bias, s.Out, k, compute.FP32)
	if err != nil {
		return nil, fmt.Errorf("cannot pack a convolution: %w", err)
	}
	return &convolution{packed: p, shape: s}, nil
}
