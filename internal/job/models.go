package job

import (
	"slices"
	"strings"
)

// ModelsLimit bounds the models of a cluster, and so those of a node.
const ModelsLimit = 64

// Models are those that a cluster serves, each under a name of its own, in the order in which the
// cluster came to know them.
type Models []Model

// Named returns the model of a name.
func (all Models) Named(name string) (Model, bool) {
	i := slices.IndexFunc(all, func(m Model) bool { return m.Name == name })
	if i < 0 {
		return Model{}, false
	}
	return all[i], true
}

// Default returns the model of requests that name none: the first one that is not damaged, or else
// the first; false if there is none.
func (all Models) Default() (Model, bool) {
	for _, m := range all {
		if m.Damage == "" {
			return m, true
		}
	}
	if len(all) == 0 {
		return Model{}, false
	}
	return all[0], true
}

// Choose returns the model that a request names, or the default for "". A name that is unknown is a
// *FieldError with those that are not. There has to be a model.
func (all Models) Choose(name string) (Model, error) {
	if name == "" {
		m, _ := all.Default()
		return m, nil
	}
	if m, ok := all.Named(name); ok {
		return m, nil
	}
	var known []string
	for _, m := range all {
		known = append(known, quote(m.Name))
	}
	return Model{}, &FieldError{"model", quote(name), strings.Join(known, ", ")}
}

// With returns the models with m, in the place of the one that had its name, or as the last. It
// leaves all alone.
func (all Models) With(m Model) Models {
	out := slices.Clone(all)
	if i := slices.IndexFunc(out, func(o Model) bool { return o.Name == m.Name }); i >= 0 {
		out[i] = m
		return out
	}
	return append(out, m)
}

// Without returns the models but for that of a name. It leaves all alone.
func (all Models) Without(name string) Models {
	return slices.DeleteFunc(slices.Clone(all), func(m Model) bool { return m.Name == name })
}
