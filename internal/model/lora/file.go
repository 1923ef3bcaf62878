package lora

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Limits on what a file says. Published LoRAs have ranks up to 512.
const (
	rankLimit  = 2048
	namedLimit = 3 // names in an error
)

// File is a LoRA that is open, with changes for one architecture. It is read-only, and safe for
// concurrent use until Close.
type File struct {
	file    *safetensors.File
	changes map[string]*change // by diffusers' name of the weight
	notices []string
}

// change is what a file adds to one weight: factor·B·A, and full, as far as there are any. Tensors
// are views of the file.
type change struct {
	down, up, full tensor.Tensor
	alpha          float64 // times B·A, over the rank
	hasAlpha       bool
	factor         float64 // beyond alpha: of the metadata
}

// Open opens a LoRA and checks it against the shapes of a transformer's weights. A file of another
// kind, for another model or with numbers that are not finite is an error of one line, to which the
// caller adds whose file it is: the path may be that of a copy. The caller closes the file.
func Open(path string, shapes model.Shapes) (*File, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := read(file, shapes)
	if err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

// Parse is Open for a file in memory.
func Parse(data []byte, shapes model.Shapes) (*File, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	return read(file, shapes)
}

// Close unmaps the file. A Set with it must not be used afterwards.
func (f *File) Close() error { return f.file.Close() }

// Notices say what of the file was left out, one line each.
func (f *File) Notices() []string { return f.notices }

// Weights lists the weights that the file changes, in alphabetical order.
func (f *File) Weights() []string { return slices.Sorted(maps.Keys(f.changes)) }

// reader collects the changes of a file, and what has no place.
type reader struct {
	*File
	shapes  model.Shapes
	names   map[string]string // see layerNames
	scaling *peftScaling      // of the metadata; nil: none

	unknown []string // names of tensors that no layer takes
	images  int      // tensors for a picture's tokens, which the model has not
	dora    int      // tensors of DoRA
	norms   int      // changes of norms that are not zero
}

// read sorts the tensors of a file into changes, and checks each.
func read(file *safetensors.File, shapes model.Shapes) (*File, error) {
	r := &reader{File: &File{file: file, changes: map[string]*change{}}, shapes: shapes,
		names: layerNames(shapes)}

	// The metadata first, which every change needs.
	var err error
	if r.scaling, err = readScaling(file.Metadata()); err != nil {
		return nil, err
	}
	for _, name := range file.Names() {
		if err := r.add(name); err != nil {
			return nil, err
		}
	}

	if err := r.leftovers(); err != nil {
		return nil, err
	}

	// In alphabetical order, so that a file always gives the same error.
	for _, weight := range r.Weights() {
		if err := r.check(weight, r.changes[weight]); err != nil {
			return nil, err
		}
	}
	if len(r.changes) == 0 {
		return nil, fmt.Errorf("it changes none of the model's weights")
	}
	return r.File, nil
}

// add puts a tensor of the file where it belongs.
func (r *reader) add(name string) error {
	layer, p, ok := parse(name)
	own, known := r.names[layer]
	switch {
	case p == dropped:
		r.dora++
		return nil
	case !ok:
		r.unknown = append(r.unknown, name)
		return nil
	case !known && ofImages(layer):
		r.images++
		return nil
	case !known:
		return r.another(name, layer)
	}

	t, err := r.file.Tensor(name)
	if err != nil {
		return err
	}

	if p == alpha {
		return r.setAlpha(name, own, t)
	}
	if err := finite(name, t); err != nil {
		return err
	}
	if (p == full || p == bias) && strings.Contains(own, "norm") {
		return r.dropNorm(t)
	}
	return r.set(name, own, p, t)
}

// another refuses a layer that the model lacks, or notes a name that no Wan model has.
func (r *reader) another(name, layer string) error {
	layers := 0
	for r.shapes[fmt.Sprintf("blocks.%d.attn1.to_q.weight", layers)] != nil {
		layers++
	}
	if n, ok := blockOf(layer); ok && n >= layers {
		return fmt.Errorf("it is for a model of at least %d blocks (%s); this one has %d", n+1, name,
			layers)
	}
	r.unknown = append(r.unknown, name)
	return nil
}

// leftovers refuses a file with tensors of unknown meaning, and notes what else was left out.
func (r *reader) leftovers() error {
	if n := len(r.unknown); n > 0 {
		return fmt.Errorf("%d of its tensors are unknown, such as %.200s; allowed: the LoRA of a Wan "+
			"transformer, as diffusers, ComfyUI or kohya name its layers", n,
			strings.Join(r.unknown[:min(n, namedLimit)], ", "))
	}

	for _, left := range []struct {
		n    int
		what string
	}{
		{r.dora, "of DoRA were left out, so that it works as a plain LoRA"},
		{r.images, "for a picture's tokens were left out, which this model does not have"},
		{r.norms, "for norms were left out, as diffusers leaves them out"},
	} {
		if left.n > 0 {
			r.notices = append(r.notices, fmt.Sprintf("%d tensors %s", left.n, left.what))
		}
	}
	return nil
}

// dropNorm leaves a norm's change out, as the reference does. It is zero in most files.
func (r *reader) dropNorm(t tensor.Tensor) error {
	v, err := t.Float32()
	if slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) {
		r.norms++
	}
	return err
}

// set keeps a tensor as a part of a weight's change; a second one is refused.
func (r *reader) set(name, layer string, p part, t tensor.Tensor) error {
	weight := layer + ".weight"
	if p == bias {
		weight = layer + ".bias"
	}
	if r.shapes[weight] == nil {
		weight = layer // a modulation table has no suffix
	}
	if r.shapes[weight] == nil {
		r.unknown = append(r.unknown, name)
		return nil
	}

	c := r.change(weight)
	place := map[part]*tensor.Tensor{down: &c.down, up: &c.up}[p]
	if place == nil {
		place = &c.full
	}
	if place.Data != nil {
		return fmt.Errorf("%s changes %s a second time", name, weight)
	}
	*place = t
	return nil
}

// change returns the change of a weight, a new one the first time.
func (r *reader) change(weight string) *change {
	c := r.changes[weight]
	if c == nil {
		c = &change{factor: r.scaling.factor(strings.TrimSuffix(weight, ".weight"))}
		r.changes[weight] = c
	}
	return c
}

// setAlpha keeps a layer's alpha, a scalar or a single value of any type that trainers write.
func (r *reader) setAlpha(name, layer string, t tensor.Tensor) error {
	v, err := number(t)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.shapes[layer+".weight"] == nil {
		r.unknown = append(r.unknown, name)
		return nil
	}
	c := r.change(layer + ".weight")
	c.alpha, c.hasAlpha = v, true
	return nil
}

// check requires the parts of a weight's change to fit each other and the weight.
func (r *reader) check(weight string, c *change) error {
	shape := r.shapes[weight]
	if c.full.Data != nil && c.full.Shape.Elements() != shape.Elements() {
		return fmt.Errorf("it is for another model: %s has the shape %v there, and %v here", weight,
			c.full.Shape, shape)
	}
	if (c.down.Data == nil) != (c.up.Data == nil) {
		return fmt.Errorf("of the two factors for %s, one is missing", weight)
	}
	if c.down.Data == nil {
		if c.full.Data == nil {
			return fmt.Errorf("it has an alpha for %s, and nothing else", weight)
		}
		return nil
	}

	// [rank, in, 1...] and [out, rank, 1...]; a convolution's A has its kernel.
	if len(shape) < 2 || len(c.down.Shape) < 2 || len(c.up.Shape) < 2 {
		return fmt.Errorf("the factors for %s are %v and %v; allowed: matrices", weight, c.down.Shape,
			c.up.Shape)
	}

	rank, out := c.down.Shape[0], shape[0]
	in := shape[1:].Elements()
	if rank < 1 || rank > rankLimit || c.up.Shape[1:].Elements() != rank {
		return fmt.Errorf("the factors for %s are %v and %v; allowed: the same rank, 1 to %d", weight,
			c.down.Shape, c.up.Shape, rankLimit)
	}
	if have := c.down.Shape[1:].Elements(); have != in || c.up.Shape[0] != out {
		return fmt.Errorf("it is for another model: %s is [%d %d] there, and [%d %d] here", weight,
			c.up.Shape[0], have, out, in)
	}
	return nil
}
