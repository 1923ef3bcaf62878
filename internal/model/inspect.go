package model

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/userfile"
)

// Component is what a folder's part with weights is made of.
type Component struct {
	Name       string           `json:"name"`       // of its folder
	Parameters int64            `json:"parameters"` // values of all weights
	Weights    int              `json:"weights"`    // how many there are
	Stored     int64            `json:"bytes"`      // of them in the files
	DTypes     map[string]int64 `json:"dtypes"`     // values by the type they are stored in
	// Memory is about how many bytes of a CPU it takes, by the type of products; none where the
	// folder does not open.
	Memory map[string]int64 `json:"memory,omitempty"`
}

// Inspect counts what the parts of a folder hold that have weights, whether or not it opens as a
// model; it reads no weight. problems says, one line each, which parts cannot be read.
func Inspect(dir string) (all []Component, problems []string) {
	f := &Folder{fsys: userfile.Dir(dir), components: map[string]*component{}}
	defer f.Close()
	open := func(file string) (*safetensors.File, error) {
		return safetensors.Open(filepath.Join(dir, filepath.FromSlash(file)))
	}

	for _, p := range allParts {
		if info, err := fs.Stat(f.fsys, p.name); err != nil || !info.IsDir() {
			continue
		}
		c, err := f.openComponent(open, p.name, p.stem)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", p.name, err))
			continue
		}
		f.components[p.name] = c

		r := Component{Name: p.name, Weights: len(c.tensors), DTypes: map[string]int64{}}
		// Types and shapes are in the files' headers.
		for _, t := range c.tensors {
			n := int64(t.Shape.Elements())
			r.Parameters += n
			r.Stored += int64(len(t.Data))
			r.DTypes[t.DType.String()] += n
		}
		r.Memory = map[string]int64{"fp32": f.Bytes(p.name, compute.FP32),
			"bf16": f.Bytes(p.name, compute.BF16)}
		all = append(all, r)
	}
	return all, problems
}

// Family names the published models that a folder's configurations are like, such as
// "Wan 2.2 T2V-A14B"; the transformer's width and the number of its layers say the size.
func (f *Folder) Family() string {
	t, p := f.Transformer, f.Pipeline
	two := p.Boundary != nil
	size := map[[2]int]string{{1536, 30}: "1.3B", {5120, 40}: "14B", {3072, 30}: "5B"}[[2]int{
		t.Dim(), t.NumLayers}]
	switch {
	case size == "":
		size = fmt.Sprintf("%dx%d", t.Dim(), t.NumLayers) // width and layers
	case two:
		size = "A" + size
	}

	version := "2.1"
	if two || p.ExpandTimesteps {
		version = "2.2"
	}
	kind := "T2V"
	switch {
	case p.ExpandTimesteps:
		kind = "TI2V"
	case t.PosEmbedSeqLen > 0:
		kind = "FLF2V"
	case p.Class == ImageToVideo:
		kind = "I2V"
	case p.Class == Control:
		kind = "VACE"
	}
	return fmt.Sprintf("Wan %s %s-%s", version, kind, size)
}
