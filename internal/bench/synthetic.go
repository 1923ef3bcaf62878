package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/models/demo"
)

// Synthetic is a model to time: the demo's, with a transformer of another form and of random
// weights. What it makes is noise; what it takes is what a trained one of that form would.
type Synthetic struct{ Heads, HeadDim, FFNDim, Layers int }

// String names the form.
func (s Synthetic) String() string {
	return fmt.Sprintf("%dx%d, %d wide, %d layers", s.Heads, s.HeadDim, s.FFNDim, s.Layers)
}

// Write writes the model as a folder, which must not exist. It is demo.ErrLeftOut in a program
// without the demo model.
func (s Synthetic) Write(dir string) error {
	from, err := demo.Open()
	if err != nil {
		return err
	}
	f, err := model.OpenFS(from, "the built-in model")
	if err != nil {
		return err
	}
	defer f.Close()

	if err := s.copyRest(from, dir); err != nil {
		return fmt.Errorf("cannot write a model: %w", err)
	}

	// Of the same class and patches, so that the demo's other parts fit.
	cfg := f.Transformer
	cfg.NumAttentionHeads, cfg.AttentionHeadDim = s.Heads, s.HeadDim
	cfg.FFNDim, cfg.NumLayers = s.FFNDim, s.Layers
	if err := writeWeights(filepath.Join(dir, "transformer", "diffusion_pytorch_model.safetensors"),
		cfg.Shapes()); err != nil {
		return fmt.Errorf("cannot write a model: %w", err)
	}
	return nil
}

// copyRest copies all but the transformer's weights, and changes what configurations say of it.
func (s Synthetic) copyRest(from fs.FS, dir string) error {
	const framesMost = 1 << 10
	changes := map[string]map[string]any{
		"transformer/config.json": {"num_attention_heads": s.Heads, "attention_head_dim": s.HeadDim,
			"ffn_dim": s.FFNDim, "num_layers": s.Layers},
		// A clip of any length may be denoised at once.
		"longtake.json": {"name": "synthetic", "max_frames": framesMost, "sizes": []string{"320x192"}},
	}

	return fs.WalkDir(from, ".", func(name string, e fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || e.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755)) //nolint:gosec // a model is for all to read
		}
		if path.Dir(name) == "transformer" && strings.HasSuffix(name, ".safetensors") {
			return nil
		}

		// A configuration keeps all keys that are not changed.
		data, err := fs.ReadFile(from, name)
		if err == nil && changes[name] != nil {
			var all map[string]any
			if err = json.Unmarshal(data, &all); err == nil {
				for key, v := range changes[name] {
					all[key] = v
				}
				data, err = json.Marshal(all)
			}
		}
		return errors.Join(err, os.WriteFile(to, data, 0o644)) //nolint:gosec // likewise
	})
}

// writeWeights writes random weights of the given shapes.
func writeWeights(name string, shapes model.Shapes) (err error) {
	tensors := map[string]tensor.Tensor{}

	// Small values, so that nothing overflows on its way through many layers.
	for weight, shape := range shapes {
		v := random(shape.Elements())
		for i := range v {
			v[i] *= 0.02
		}
		tensors[weight] = tensor.FromFloat32(v, shape...)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return safetensors.Write(f, tensors, nil)
}
