package model

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// Builder packs weights onto a device and keeps the first error, so that a model's constructor
// reads like its architecture. It starts with products in float32.
type Builder struct {
	dev compute.Device
	w   *Weights
	err error
	end error // why loading has ended before its time

	// DType is what linear layers multiply, from here on.
	DType compute.DType
}

// NewBuilder packs weights of w onto dev.
func NewBuilder(dev compute.Device, w *Weights) *Builder { return &Builder{dev: dev, w: w} }

// ended reports whether loading is to end: then nothing is packed any more, and Finish says why.
func (b *Builder) ended() bool {
	if b.end == nil && b.w.stop != nil {
		b.end = b.w.stop()
	}
	return b.end != nil
}

// Take returns the weight's values; see Weights.Take.
func (b *Builder) Take(name string, shape ...int) []float32 { return b.w.Take(name, shape...) }

// Vector packs a vector of n parameters stored with the given shape, [n] when none is given.
func (b *Builder) Vector(name string, n int, shape ...int) compute.Vector {
	if b.ended() {
		return nil
	}
	if len(shape) == 0 {
		shape = []int{n}
	}
	return b.Pack(b.w.Take(name, shape...))
}

// Pack packs a vector that is at hand already.
func (b *Builder) Pack(v []float32) compute.Vector {
	p, err := b.dev.Vector(v)
	b.keep(err)
	return p
}

// Linear packs name.weight [out, in] and, when biased, name.bias [out]. Trailing dimensions of 1
// (a pointwise convolution) are given in kernel.
func (b *Builder) Linear(name string, out, in int, biased bool, kernel ...int) compute.Linear {
	if b.ended() {
		return nil
	}
	shape := append([]int{out, in}, kernel...)
	bias := b.bias(name, out, biased)
	if dev, ok := b.dev.(compute.Stored); ok {
		return b.packStored(dev, []tensor.Tensor{b.w.Raw(name+".weight", shape...)}, bias, out, in)
	}
	return b.PackLinear(b.w.Take(name+".weight", shape...), bias, out, in)
}

// Fused packs several linear layers [out, in] with the same input as one [len(names)·out, in].
func (b *Builder) Fused(names []string, out, in int, biased bool) compute.Linear {
	if b.ended() {
		return nil
	}
	var bias []float32
	for _, n := range names {
		bias = append(bias, b.bias(n, out, biased)...)
	}
	if dev, ok := b.dev.(compute.Stored); ok {
		var parts []tensor.Tensor
		for _, n := range names {
			parts = append(parts, b.w.Raw(n+".weight", out, in))
		}
		return b.packStored(dev, parts, bias, len(names)*out, in)
	}
	var w []float32
	for _, n := range names {
		w = append(w, b.w.Take(n+".weight", out, in)...)
	}
	return b.PackLinear(w, bias, len(names)*out, in)
}

func (b *Builder) packStored(dev compute.Stored, parts []tensor.Tensor, bias []float32,
	out, in int) compute.Linear {
	p, err := dev.PackStored(parts, bias, out, in, b.DType)
	b.keep(err)
	return p
}

// PackLinear packs a weight that is at hand already.
func (b *Builder) PackLinear(w, bias []float32, out, in int) compute.Linear {
	if b.ended() {
		return nil
	}
	p, err := b.dev.PackLinear(w, bias, out, in, b.DType)
	b.keep(err)
	return p
}

// Conv packs name.weight and name.bias. A kernel without a temporal extent (KT = 1) may be stored
// as a 2D one: flat says so.
func (b *Builder) Conv(name string, s compute.ConvShape, flat bool) compute.Conv {
	if b.ended() {
		return nil
	}
	shape := []int{s.Out, s.In, s.KT, s.KH, s.KW}
	if flat {
		shape = []int{s.Out, s.In, s.KH, s.KW}
	}
	p, err := b.dev.PackConv(b.w.Take(name+".weight", shape...), b.bias(name, s.Out, true), s)
	b.keep(err)
	return p
}

func (b *Builder) bias(name string, out int, biased bool) []float32 {
	if !biased {
		return nil
	}
	return b.w.Take(name+".bias", out)
}

func (b *Builder) keep(err error) {
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("cannot pack weights: %w", err)
	}
}

// Finish reports missing, misshaped and unused weights, or what the device refused.
func (b *Builder) Finish() error {
	if b.end != nil {
		return b.end
	}
	if err := b.w.Finish(); err != nil {
		return err
	}
	return b.err
}
