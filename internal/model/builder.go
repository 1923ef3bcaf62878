package model

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// Builder packs weights onto a device in the layout that its kernels want. Shapes, and whether a
// layer has a bias, come from the architecture's Shapes, so a constructor only names its layers.
// The first error is kept for Finish; until then layers may be nil. It belongs to one goroutine.
type Builder struct {
	*Weights
	dev     compute.Device // what weights are packed onto
	err     error          // what the device refused first
	stopped error          // what the function given to StopWhen returned

	// DType is the type that large layers packed from here on multiply in, and other linear layers in
	// its Rest; float32 at first.
	DType compute.DType
	// InFile leaves the weights of linear layers where the folder maps them, on devices that can
	// multiply so; the layers are good until the folder is closed.
	InFile bool
}

// NewBuilder returns a builder that packs weights of w onto dev.
func NewBuilder(dev compute.Device, w *Weights) *Builder { return &Builder{Weights: w, dev: dev} }

// halted reports whether the caller has asked to stop: then nothing is packed any more.
func (b *Builder) halted() bool {
	if b.stopped == nil && b.stop != nil {
		// Asked again after it has failed, stop might have forgotten why.
		b.stopped = b.stop()
	}
	return b.stopped != nil
}

// Vector packs a weight as a vector, whatever its shape: gains of norms are stored as [n],
// [n, 1, 1] or [n, 1, 1, 1], modulation tables as [1, k, n].
func (b *Builder) Vector(name string) compute.Vector {
	if b.halted() {
		return nil
	}

	// The device copies the values into its own memory, so they need not be kept.
	p, err := b.dev.Vector(b.Take(name))
	b.keep(err)
	return p
}

// Linear packs name.weight [out, in] and name.bias [out], where there is one. Several layers with
// the same input are packed as one with their outputs in order, [Σ out, in]: one product then does
// the work of several. A pointwise convolution [out, in, 1...] is a linear layer, too.
func (b *Builder) Linear(names ...string) compute.Linear {
	return b.linear(b.DType.Rest(), names)
}

// Large is Linear for the layers of a transformer's blocks that nearly all of its work is in.
func (b *Builder) Large(names ...string) compute.Linear { return b.linear(b.DType, names) }

func (b *Builder) linear(t compute.DType, names []string) compute.Linear {
	if b.halted() {
		return nil
	}

	// All shapes first: a device may want the size of the whole.
	out, in := 0, 0
	var bias []float32
	for _, n := range names {
		s := b.Shape(n + ".weight") // [out, in, 1...]
		out, in = out+s[0], s[1:].Elements()
		bias = append(bias, b.bias(n)...)
	}

	// Some devices take stored types, which saves the copy in float32.
	if pack := b.packStored(); pack != nil {
		var parts []tensor.Tensor
		for _, n := range names {
			parts = append(parts, b.Raw(n+".weight"))
		}
		p, err := pack(parts, bias, out, in, t)
		b.keep(err)
		return p
	}

	// Row-major weights [out, in] one below the other are the weight of all outputs.
	w := b.Take(names[0] + ".weight")
	for _, n := range names[1:] {
		w = append(w, b.Take(n+".weight")...)
	}
	return b.pack(w, bias, out, in, t)
}

// packStored returns how the device takes weights as they are stored, nil where it does not.
func (b *Builder) packStored() func(parts []tensor.Tensor, bias []float32, out, in int,
	t compute.DType) (compute.Linear, error) {
	if dev, ok := b.dev.(compute.FileBinder); ok && b.InFile {
		return dev.BindStored
	}
	if dev, ok := b.dev.(compute.StoredPacker); ok {
		return dev.PackStored
	}
	return nil
}

// PackLinear packs a weight [out, in] that the caller has rearranged, with bias [out] or nil.
func (b *Builder) PackLinear(w, bias []float32, out, in int) compute.Linear {
	return b.pack(w, bias, out, in, b.DType.Rest())
}

func (b *Builder) pack(w, bias []float32, out, in int, t compute.DType) compute.Linear {
	if b.halted() {
		return nil
	}
	p, err := b.dev.PackLinear(w, bias, out, in, t)
	b.keep(err)
	return p
}

// Conv packs a convolution, name.weight [out, in, kt, kh, kw] and name.bias [out]. One that is
// stored as [out, in, kh, kw] works on single frames: kt is 1.
func (b *Builder) Conv(name string) compute.Conv {
	if b.halted() {
		return nil
	}

	// From the listed shape, so that even a misshaped weight packs without a panic.
	s := b.Shape(name + ".weight")
	shape := compute.ConvShape{Out: s[0], In: s[1], KT: 1, KH: s[len(s)-2], KW: s[len(s)-1]}
	if len(s) == 5 {
		shape.KT = s[2]
	}
	p, err := b.dev.PackConv(b.Take(name+".weight"), b.bias(name), shape)
	b.keep(err)
	return p
}

// bias takes a layer's bias [out]; nil for a layer without one.
func (b *Builder) bias(name string) []float32 {
	if !b.Listed(name + ".bias") {
		return nil
	}
	return b.Take(name + ".bias")
}

// keep records the first error of the device, usually that its memory is full.
func (b *Builder) keep(err error) {
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("cannot pack weights: %w", err)
	}
}

// Finish returns why loading was stopped, else the first missing, misshaped or unused weight, else
// what the device refused. The layers may only be used if it returns nil.
func (b *Builder) Finish() error {
	if b.stopped != nil {
		return b.stopped
	}
	if err := b.Weights.Finish(); err != nil {
		return err
	}
	return b.err
}
