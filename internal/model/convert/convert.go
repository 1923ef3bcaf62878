package convert

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Options say how a folder is made.
type Options struct {
	DType string // of the transformers and the text encoder: bf16 (also ""), fp32 or keep
	Heads int    // of the transformer; 0: as its files say, else as in published models
	// Base is a model in diffusers' layout from which what the inputs lack is copied, such as the
	// tokenizer; "": none.
	Base string
	// Progress, where set, is told how many bytes of weights are written, of how many.
	Progress func(done, total int64)
}

// Report says what was made.
type Report struct {
	Class string // of the pipeline
	// Components lists the folders with weights, and what was copied from the base.
	Components, Copied []string
}

// Convert writes a model folder in diffusers' layout from files in that of Wan's repositories or of
// ComfyUI: inputs are files and folders of them. Weights are read and written in pieces. out must
// not exist; it does once everything is written and checked, and not after an error.
func Convert(ctx context.Context, inputs []string, out string, o Options) (r Report, err error) {
	if _, err := os.Stat(out); err == nil {
		return r, fmt.Errorf("%s exists; allowed: a new folder", out)
	}
	to, keep, err := parseDType(o.DType)
	if err != nil {
		return r, err
	}

	// The files stay mapped until everything is written.
	g, err := gather(inputs)
	defer func() { err = errors.Join(err, g.close()) }()
	if err != nil {
		return r, err
	}

	// A folder that is half written must not pass for a model.
	part := strings.TrimRight(out, `/\`) + ".partial"
	if err := os.RemoveAll(part); err != nil {
		return r, err
	}
	defer os.RemoveAll(part)
	w := &writing{g: g, dir: part, to: to, keep: keep, options: o}
	if r, err = w.run(ctx); err != nil {
		return r, err
	}

	// What opens has all weights that its configuration asks for, in their shapes, and no others.
	f, err := model.Open(part)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return r, fmt.Errorf("what was read does not make a model: %w", err)
	}
	return r, os.Rename(part, out)
}

// writing is a conversion under way.
type writing struct {
	g           *gathered
	dir         string
	to          tensor.DType
	keep        bool
	options     Options
	done, total int64 // bytes of weights
}

// run derives the configurations, then writes everything.
func (w *writing) run(ctx context.Context) (r Report, err error) {
	// Configurations first: they fail in no time.
	configs := map[string]object{}
	var experts []string
	for name, c := range w.g.components {
		if configs[name], err = w.config(name, c); err != nil {
			return r, fmt.Errorf("%s: %w", c.from, err)
		}
		if name == transformer || name == second {
			experts = append(experts, name)
		}
	}
	if len(experts) == 0 {
		return r, errors.New("there are no weights of a transformer in what was given")
	}
	slices.Sort(experts)
	index, scheduler := pipeline(configs[experts[0]], experts, w.g.split)
	r.Class = index["_class_name"].(string)

	// Then what is missing, and whether there is room: nothing is written before.
	if r.Copied, err = w.copied(index); err != nil {
		return r, err
	}
	if err := w.room(); err != nil {
		return r, err
	}

	for name, c := range configs {
		if err := writeJSON(c, w.dir, name, "config.json"); err != nil {
			return r, err
		}
	}
	err = cmp.Or(writeJSON(index, w.dir, "model_index.json"),
		writeJSON(scheduler, w.dir, "scheduler", "scheduler_config.json"), w.copyRest(ctx, r.Copied))
	if err != nil {
		return r, err
	}

	for _, name := range slices.Sorted(maps.Keys(w.g.components)) {
		if err := w.component(ctx, name); err != nil {
			return r, fmt.Errorf("cannot write %s: %w", name, err)
		}
		r.Components = append(r.Components, name)
	}
	return r, nil
}

// config derives the configuration of a component, and counts what it will take.
func (w *writing) config(name string, c *component) (object, error) {
	s := shapes{}
	for n, x := range c.weights {
		s[n] = x.t.Shape
		w.total += int64(x.t.Shape.Elements()) * int64(w.dtype(name, x.t.DType).Size())
	}
	switch name {
	case textEncoder:
		return textEncoderConfig(s)
	case vae:
		return vaeConfig(s)
	}
	return transformerConfig(s, cmp.Or(w.options.Heads, c.heads))
}

// dtype is what a weight of a type is written as. The VAE is computed in float32, and small.
func (w *writing) dtype(component string, stored tensor.DType) tensor.DType {
	small := stored == tensor.F8E4M3 || stored == tensor.F8E5M2
	switch {
	case w.keep && !small:
		return stored
	case w.keep:
		return tensor.BF16
	case component == vae:
		return tensor.F32
	}
	return w.to
}

// copied lists the folders that have to come from elsewhere, and refuses where there is no
// elsewhere.
func (w *writing) copied(index object) ([]string, error) {
	var missing []string
	for _, name := range []string{vae, textEncoder, "tokenizer", "image_encoder", "image_processor"} {
		_, asked := index[name]
		have := w.g.components[name] != nil || name == "tokenizer" && w.g.tokenizer != ""
		if asked && !have {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || w.options.Base != "" {
		return missing, nil
	}

	err := fmt.Errorf("%s missing in what was given; give more files, or --base DIR, a model in "+
		"diffusers' layout to copy it from", strings.Join(missing, ", "))
	if len(w.g.pickles) > 0 {
		err = fmt.Errorf("%w; %s was not read: %s", err, w.g.pickles[0], pickled)
	}
	return nil, err
}

// room refuses where the disk has too little.
func (w *writing) room() error {
	at := filepath.Dir(w.dir)
	room, err := disk.Of(at)
	if err != nil || room.Free >= w.total {
		return nil // where it cannot be known, writing shows it
	}
	return fmt.Errorf("%s has %.1f GB free; the model takes %.1f GB", at, float64(room.Free)/1e9,
		float64(w.total)/1e9)
}

// copyRest copies folders from the base, and the tokenizer from where it was found.
func (w *writing) copyRest(ctx context.Context, names []string) error {
	for _, name := range names {
		err := copyFolder(ctx, filepath.Join(w.options.Base, name), filepath.Join(w.dir, name))
		if err != nil {
			return fmt.Errorf("cannot copy %s from %s: %w", name, w.options.Base, err)
		}
	}
	if slices.Contains(names, "tokenizer") || w.g.tokenizer == "" {
		return nil
	}
	return copyFolder(ctx, w.g.tokenizer, filepath.Join(w.dir, "tokenizer"))
}

// copyFolder copies the regular files of a folder, following links.
func copyFolder(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}

	// Files of a download cache are links into another folder.
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := copyFile(path, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies one file.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// component writes the weights of one.
func (w *writing) component(ctx context.Context, name string) error {
	stem := "diffusion_pytorch_model"
	if name == textEncoder {
		stem = "model"
	}
	f, err := os.Create(filepath.Join(w.dir, name, stem+".safetensors"))
	if err != nil {
		return err
	}

	// The header needs types and shapes alone; values follow one weight after the other.
	c := w.g.components[name]
	tensors := map[string]tensor.Tensor{}
	for n, x := range c.weights {
		tensors[n] = tensor.Tensor{DType: w.dtype(name, x.t.DType), Shape: x.t.Shape}
	}
	const buffer = 1 << 20
	out := bufio.NewWriterSize(&progress{w: w, f: f}, buffer)
	err = safetensors.WriteFrom(out, tensors, map[string]string{"format": "pt"},
		func(n string, to io.Writer) error {
			return c.weights[n].write(ctx, to, tensors[n].DType)
		})
	return errors.Join(err, out.Flush(), f.Close())
}

// progress is a file whose bytes are counted.
type progress struct {
	w *writing
	f *os.File
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	if p.w.done = min(p.w.total, p.w.done+int64(n)); p.w.options.Progress != nil {
		p.w.options.Progress(p.w.done, p.w.total)
	}
	return n, err
}
