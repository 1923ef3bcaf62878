package model

import "github.com/longtake/longtake/internal/tensor"

// Shapes maps the name of every weight of a component, as its safetensors file spells it, to its
// shape. It is the only list of an architecture's shapes: Open checks files against it, and a
// Builder sizes layers by it, so that the constructors in wan, umt5 and vae bind names alone.
//
// A constructor that asks for a name that is not listed panics, and one that leaves a listed name
// out fails in Builder.Finish, so that list and constructor cannot differ unnoticed.
type Shapes map[string]tensor.Shape

// linear adds a layer: name.weight [out, in, kernel...] and name.bias [out]. A linear layer has no
// kernel; a convolution has [kh, kw] or [kt, kh, kw].
func (s Shapes) linear(name string, out, in int, kernel ...int) {
	s[name+".weight"] = append(tensor.Shape{out, in}, kernel...)
	s[name+".bias"] = tensor.Shape{out}
}
