package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Weights are the tensors of one component while its constructor takes them by name. Problems are
// collected and returned by Finish, so that a constructor reads like the architecture instead of
// checking an error after every layer. It belongs to one goroutine.
type Weights struct {
	component string                   // "transformer", "text_encoder" or "vae"; it begins errors
	tensors   map[string]tensor.Tensor // what the files hold
	shapes    Shapes                   // what the architecture asks for
	used      map[string]bool          // names that were taken or ignored
	problems  []string                 // in the order of their discovery
	stop      func() error             // see StopWhen
	overlay   Overlay                  // see Overlay; nil: none
	files     []*safetensors.File      // that the tensors are views of; nil: not known
	unread    bool                     // see Unread
}

// Overlay changes weights of a component as they are taken, such as by LoRAs. Changed weights are
// float32, whatever type the files have.
type Overlay interface {
	// Changes reports whether it changes the weight of that name.
	Changes(weight string) bool
	// Change changes the values of such a weight in place; they are of the shape that the architecture
	// gives it.
	Change(weight string, values []float32) error
}

// Overlay has o change the weights that are taken from here on.
func (w *Weights) Overlay(o Overlay) { w.overlay = o }

// NewWeights offers the tensors of a component, by their names in its files, to a constructor of an
// architecture with the given shapes. A tensor may only be taken if shapes lists it.
func NewWeights(component string, tensors map[string]tensor.Tensor, shapes Shapes) *Weights {
	return &Weights{component: component, tensors: tensors, shapes: shapes, used: map[string]bool{}}
}

// StopWhen sets a function, or nil, that a Builder calls before each weight, since packing a large
// model takes minutes. Once stop returns an error, nothing more is packed and Builder.Finish
// returns it.
func (w *Weights) StopWhen(stop func() error) { w.stop = stop }

// WillNeed has the system read the weights whose names begin with prefix ahead of their use, and
// does not wait for that.
func (w *Weights) WillNeed(prefix string) { w.each(prefix, (*safetensors.File).WillNeed) }

// Leave says that the weights whose names begin with prefix will not be read for a while, so that
// pages of their files do not count as this process's memory. They can still be read.
func (w *Weights) Leave(prefix string) { w.each(prefix, (*safetensors.File).Leave) }

// each calls f with the weights whose names begin with prefix.
func (w *Weights) each(prefix string, f func(file *safetensors.File, name string)) {
	for name := range w.tensors {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for _, file := range w.files {
			f(file, name)
		}
	}
}

// Listed reports whether the architecture has a weight of that name, as some are optional: a
// residual block only has a shortcut where its width changes.
func (w *Weights) Listed(name string) bool { return w.shapes[name] != nil }

// Shape returns the shape that the architecture gives a weight. Asking for a weight that it does
// not list is a bug of the constructor and panics.
func (w *Weights) Shape(name string) tensor.Shape {
	s, ok := w.shapes[name]
	if !ok {
		panic(fmt.Sprintf("model: %s binds weight %s, which its shapes do not list", w.component, name))
	}
	return s
}

// Unread offers weights by their shapes alone, to a constructor that packs them onto a
// compute.Meter: they have no values, and none is missing.
func Unread(component string, shapes Shapes) *Weights {
	w := NewWeights(component, nil, shapes)
	w.unread = true
	return w
}

// Stored views a weight as it is stored, whatever its shape, without taking it. It is the zero
// Tensor if the files have no such weight.
func (w *Weights) Stored(name string) tensor.Tensor { return w.tensors[name] }

// Raw takes a weight in its stored type: a view of the file, valid until the Folder is closed, or
// float32 values of its own where an Overlay changes it. If the weight is missing or has another
// shape, Finish will say so, and zeros stand in for it.
func (w *Weights) Raw(name string) tensor.Tensor {
	if w.unread {
		return tensor.Tensor{DType: tensor.F32, Shape: w.Shape(name)}
	}
	if t, ok := w.find(name); ok {
		if w.overlay != nil && w.overlay.Changes(name) {
			return tensor.FromFloat32(w.changed(name, t), t.Shape...)
		}
		return t
	}

	// Taken, whatever comes of it: a misshaped weight is one problem, not two.
	shape := w.Shape(name)
	return tensor.FromFloat32(make([]float32, shape.Elements()), shape...)
}

// find marks a weight as used and reports whether it is there in the shape that is asked for.
func (w *Weights) find(name string) (tensor.Tensor, bool) {
	shape := w.Shape(name)
	t, ok := w.tensors[name]
	w.used[name] = true
	switch {
	case !ok:
		w.problem("weight %s %v is missing", name, shape)
	case !t.Shape.Equal(shape):
		w.problem("weight %s has the shape %v, the configuration asks for %v", name, t.Shape, shape)
		ok = false
	}
	return t, ok
}

// Take takes a weight's values as a new float32 slice in row-major order. Like Raw, it returns
// zeros for a weight that is missing or misshaped, and leaves the error to Finish.
func (w *Weights) Take(name string) []float32 {
	if w.unread {
		return nil
	}
	if t, ok := w.find(name); ok {
		return w.changed(name, t)
	}
	return make([]float32, w.Shape(name).Elements())
}

// changed returns a weight's values as a new slice, with what the overlay makes of them.
func (w *Weights) changed(name string, t tensor.Tensor) []float32 {
	// Stored types convert to float32 exactly, except F64, which is rounded.
	v, err := t.Float32()
	if err != nil {
		w.problem("weight %s: %v", name, err)
		return make([]float32, t.Shape.Elements())
	}
	if w.overlay != nil && w.overlay.Changes(name) {
		if err := w.overlay.Change(name, v); err != nil {
			w.problem("cannot change weight %v", err)
		}
	}
	return v
}

// Ignore marks a weight as used that the caller does not need, such as a second copy.
func (w *Weights) Ignore(name string) { w.used[name] = true }

// IgnorePrefix marks all weights whose names begin with prefix, such as the encoder's where only
// the decoder is loaded.
func (w *Weights) IgnorePrefix(prefix string) {
	for name := range w.tensors {
		if strings.HasPrefix(name, prefix) {
			w.used[name] = true
		}
	}
}

// Finish returns one line about missing, misshaped and unused weights, nil if there are none. It
// names the first problem and counts the others: a wrong configuration spoils hundreds of weights.
func (w *Weights) Finish() error {
	for _, name := range sortedKeys(w.tensors) {
		if !w.used[name] {
			w.problem("weight %s %v is not used by this configuration", name, w.tensors[name].Shape)
		}
	}
	switch n := len(w.problems); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s: %s", w.component, w.problems[0])
	default:
		return fmt.Errorf("%s: %s (and %d more)", w.component, w.problems[0], n-1)
	}
}

func (w *Weights) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// check compares names, shapes and types with what the architecture asks for, without reading a
// value. Open calls it, so that a wrong folder is refused before gigabytes are packed. Where the
// weights are recognisably something else, such as a LoRA, the error says that instead.
func (w *Weights) check() error {
	for _, name := range sortedKeys(w.shapes) {
		if t, ok := w.find(name); ok && !isFloat(t.DType) {
			w.problem("weight %s is %v; allowed: F32, BF16, F16, F64", name, t.DType)
		}
	}
	err := w.Finish()
	if err == nil {
		return nil
	}
	if other := w.recognise(); other != nil {
		return other
	}
	return err
}

func isFloat(t tensor.DType) bool {
	return t == tensor.F32 || t == tensor.BF16 || t == tensor.F16 || t == tensor.F64
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
