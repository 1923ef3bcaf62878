package model

import (
	"io/fs"

	"github.com/longtake/longtake/internal/tensor"
)

// OpenConfigs opens a folder in a file system that has configurations and no weights. They are
// taken to have the names and shapes that the configurations ask for, and the types of published
// ones: bfloat16 in the text encoder, float32 elsewhere. Such a model can be described and planned
// for; Weights is an error.
func OpenConfigs(fsys fs.FS, name string) (*Folder, error) {
	return openFolder(fsys, (*Folder).imagineWeights, name, name)
}

// imagineWeights gives all components weights by their shapes alone.
func (f *Folder) imagineWeights() error {
	for _, p := range f.parts() {
		c := &component{tensors: map[string]tensor.Tensor{}, imagined: true}
		f.components[p.name] = c
		for name, shape := range f.shapes(p.name) {
			c.tensors[name] = tensor.Tensor{DType: tensor.F32, Shape: shape}
			if p.name == "text_encoder" {
				c.tensors[name] = tensor.Tensor{DType: tensor.BF16, Shape: shape}
			}
		}
	}
	return nil
}
