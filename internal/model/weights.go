package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// Weights are a component's tensors while a model takes them by name. What went wrong is kept for
// Finish, so that a constructor can read like the architecture.
type Weights struct {
	component string
	tensors   map[string]tensor.Tensor
	used      map[string]bool
	problems  []string
	stop      func() error
}

// NewWeights offers tensors under their names in the file; component is for errors.
func NewWeights(component string, tensors map[string]tensor.Tensor) *Weights {
	return &Weights{component: component, tensors: tensors, used: map[string]bool{}}
}

// StopWhen has a Builder ask stop before each weight, since large models take minutes to load. What
// it returns, unless nil, is the Builder's error.
func (w *Weights) StopWhen(stop func() error) { w.stop = stop }

// Has reports whether there is a weight of that name.
func (w *Weights) Has(name string) bool {
	_, ok := w.tensors[name]
	return ok
}

// Stored views a weight as it is stored, whatever its shape, without taking it; zero if there is
// none.
func (w *Weights) Stored(name string) tensor.Tensor { return w.tensors[name] }

// Raw takes a weight as it is stored, a view of the file. If it is missing or has another shape,
// Finish will say so, and a zero tensor of the shape is returned.
func (w *Weights) Raw(name string, shape ...int) tensor.Tensor {
	if t, ok := w.find(name, shape); ok {
		return t
	}
	return tensor.FromFloat32(make([]float32, tensor.Shape(shape).Elements()), shape...)
}

func (w *Weights) find(name string, shape []int) (tensor.Tensor, bool) {
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

// Take takes a weight's values as float32: a view of the file where it stores them so.
func (w *Weights) Take(name string, shape ...int) []float32 {
	t := w.Raw(name, shape...)
	v, err := t.Float32()
	if err != nil {
		w.problem("weight %s: %v", name, err)
		return make([]float32, t.Shape.Elements())
	}
	return v
}

// Ignore marks a weight that is not needed here.
func (w *Weights) Ignore(name string) { w.used[name] = true }

// IgnorePrefix marks all weights whose names begin so.
func (w *Weights) IgnorePrefix(prefix string) {
	for name := range w.tensors {
		if strings.HasPrefix(name, prefix) {
			w.used[name] = true
		}
	}
}

// Finish returns one line about missing, misshaped and unused weights, nil if there are none.
func (w *Weights) Finish() error {
	for _, name := range slices.Sorted(maps.Keys(w.tensors)) {
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

// compare checks names and shapes without reading a value.
func (w *Weights) compare(want shapes) error {
	for _, name := range sortedKeys(want) {
		if t, ok := w.find(name, want[name]); ok && !isFloat(t.DType) {
			w.problem("weight %s is %v; allowed: F32, BF16, F16, F64", name, t.DType)
		}
	}
	err := w.Finish()
	if err == nil {
		return nil
	}
	if other := w.stranger(want); other != nil {
		return other
	}
	return err
}

func isFloat(t tensor.DType) bool {
	return t == tensor.F32 || t == tensor.BF16 || t == tensor.F16 || t == tensor.F64
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
