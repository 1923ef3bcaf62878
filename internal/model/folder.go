package model

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/userfile"
)

// tokenizerLimit bounds tokenizer.json, in bytes; UMT5's has 16 MB.
const tokenizerLimit = 64 << 20

const tokenizerFile = "tokenizer/tokenizer.json"

// Folder is an open model. Its configurations are checked, and so are the names and shapes of all
// weights; the weights themselves are read where they are used. It is safe for concurrent use until
// Close.
type Folder struct {
	Pipeline    Pipeline          // model_index.json
	Transformer TransformerConfig // of the transformer, or of both: they are alike
	TextEncoder TextEncoderConfig // text_encoder/config.json
	VAE         VAEConfig         // vae/config.json
	// ImageEncoder is image_encoder/config.json, where Pipeline has one.
	ImageEncoder ImageEncoderConfig
	// ImageProcessor is how pictures are prepared for it.
	ImageProcessor ImageProcessorConfig
	Scheduler      []byte   // scheduler_config.json, which package diffusion reads
	Defaults       Defaults // longtake.json, with what it leaves open

	fsys       fs.FS                 // the folder
	components map[string]*component // by their folders' names
	notices    []string              // see Notices
	ignored    []ignoredKeys         // see Notices
	builtIn    bool                  // whether the weights are strings within the program
	serial     uint64                // counts the folders that this process has opened
	causal     *Causal               // as the transformer's configuration has it; nil: it does not
}

// opened counts folders.
var opened atomic.Uint64

// Open opens a folder on disk; weights are memory-mapped. Anything that is missing, unknown or not
// supported is an error of one line that names the file, the key or the weight.
func Open(dir string) (*Folder, error) {
	// A path that is missing or a file is the most common mistake, and is told apart.
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("cannot open model %s: %w", dir, notFolder(dir, err))
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open model %s: %w", dir, err)
	}
	open := func(file string) (*safetensors.File, error) {
		return safetensors.Open(filepath.Join(dir, filepath.FromSlash(file)))
	}
	weights := func(f *Folder) error { return f.openWeights(open) }
	return openFolder(userfile.Dir(dir), weights, dir, filepath.Base(abs))
}

// stringFS is a file system that has some files as strings, as one embedded in the program has:
// their bytes can be used where they are.
type stringFS interface {
	ReadString(name string) (data string, ok bool)
}

// OpenFS opens a folder in a file system. Weights are read into memory, unless the file system is
// embedded in the program, where they are already. name stands for the path in errors.
func OpenFS(fsys fs.FS, name string) (*Folder, error) {
	parse := func(file string) (*safetensors.File, error) {
		if have, ok := fsys.(stringFS); ok {
			if data, ok := have.ReadString(file); ok {
				return safetensors.ParseString(data)
			}
		}
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, pathless(err)
		}
		return safetensors.Parse(data)
	}

	open := func(file string) (*safetensors.File, error) {
		f, err := parse(file)
		if err != nil {
			return nil, fmt.Errorf("cannot open %s: %w", file, err)
		}
		return f, nil
	}

	weights := func(f *Folder) error { return f.openWeights(open) }
	f, err := openFolder(fsys, weights, name, name)
	if err == nil {
		_, f.builtIn = fsys.(stringFS)
	}
	return f, err
}

// openFolder reads the configurations before it opens any weights, since their checks are quick.
// where is for errors, name for a model that does not say its own.
func openFolder(fsys fs.FS, weights func(*Folder) error, where, name string) (*Folder, error) {
	f := &Folder{fsys: fsys, components: map[string]*component{}, serial: opened.Add(1)}
	err := f.readConfigs(name)
	if err == nil {
		err = weights(f)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open model %s: %w", where, errors.Join(err, f.Close()))
	}
	return f, nil
}

// readConfigs reads and checks all configuration files, then whether the components fit together.
func (f *Folder) readConfigs(name string) (err error) {
	for _, read := range []func() error{
		f.checkIndex,
		f.readTransformers,
		func() error {
			return f.config("text_encoder", func(s *settings) { f.TextEncoder = readTextEncoder(s) })
		},
		func() error { return f.config("vae", func(s *settings) { f.VAE = readVAE(s) }) },
		func() error {
			if !f.has(ImageEncoder) {
				return nil
			}
			return f.config(ImageEncoder, func(s *settings) { f.ImageEncoder = readImageEncoder(s) })
		},
		func() error {
			if !f.Pipeline.ImageEncoder {
				return nil
			}
			return f.readProcessor()
		},
		f.checkTokenizer,
		func() error {
			f.Scheduler, err = readJSON(f.fsys, "scheduler/scheduler_config.json", jsonLimit)
			return err
		},
		func() error { f.Defaults, err = readDefaults(f.fsys, name); return err },
	} {
		if err := read(); err != nil {
			return err
		}
	}

	if err := f.checkTogether(); err != nil {
		return err
	}

	// What longtake.json leaves open depends on what was read before.
	if f.Defaults.Causal == nil {
		f.Defaults.Causal = f.causal
	}
	f.Defaults.fit(f.Transformer, f.VAE, f.Pipeline.ExpandTimesteps)
	return f.Defaults.LatentRGB.fit(f.Transformer.OutChannels)
}

// checkTokenizer looks at the beginning of tokenizer.json, which is large and read later: a pointer
// file of Git LFS or a web page in its place should be known when the model is opened.
func (f *Folder) checkTokenizer() error {
	// Only the first bytes: 16 MB of JSON are not parsed twice.
	t, err := f.fsys.Open(tokenizerFile)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", tokenizerFile, pathless(err))
	}
	defer t.Close()

	head := make([]byte, userfile.WhatBytes)

	// A file that is shorter than the head is judged by what it has.
	n, err := io.ReadFull(t, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("cannot read %s: %w", tokenizerFile, pathless(err))
	}

	if what := notJSON(bytes.TrimPrefix(head[:n], []byte("\ufeff"))); what != "" {
		return fmt.Errorf("cannot read %s: it is not JSON but %s", tokenizerFile, what)
	}
	return nil
}

// config reads the configuration of a component; read takes its keys from the settings.
func (f *Folder) config(name string, read func(*settings)) error {
	s, err := readSettings(f.fsys, name+"/config.json")
	if err != nil {
		return err
	}
	if read(s); s.err != nil {
		return s.err
	}
	return f.ignore(s)
}

// readTransformers reads the configurations of all transformers, which have to be alike: what is
// made with one goes on with the other.
func (f *Folder) readTransformers() error {
	for i, name := range f.Pipeline.Experts {
		var c TransformerConfig
		err := f.config(name, func(s *settings) {
			if f.Pipeline.Causal {
				f.causal = readCausal(s)
			}
			c = readTransformer(s, f.Pipeline.Class)
		})

		if err != nil {
			return err
		}
		if i > 0 && !c.Equal(f.Transformer) {
			return fmt.Errorf("%s/config.json asks for another transformer than %s/config.json; allowed: "+
				"the same, %+v", name, f.Pipeline.Experts[0], f.Transformer)
		}
		f.Transformer = c
	}
	return nil
}

// part is a component with weights, and the stem of its files' names.
type part struct{ name, stem string }

// allParts are those that a model may have. Their order is that of fingerprints, which must not
// change.
var allParts = []part{
	{"text_encoder", "model"},
	{FirstExpert, "diffusion_pytorch_model"},
	{"vae", "diffusion_pytorch_model"},
	{SecondExpert, "diffusion_pytorch_model"},
	{ImageEncoder, "model"},
}

// parts lists those that the model has.
func (f *Folder) parts() []part {
	return slices.DeleteFunc(slices.Clone(allParts), func(p part) bool { return !f.has(p.name) })
}

// has reports whether the model has a component.
func (f *Folder) has(component string) bool {
	switch component {
	case FirstExpert, SecondExpert:
		return f.Pipeline.Has(component)
	case ImageEncoder:
		return f.Pipeline.ImageEncoder
	}
	return true
}

// openWeights opens the files of all components and checks the names, shapes and types of their
// weights.
func (f *Folder) openWeights(open opener) error {
	for _, p := range f.parts() {
		c, err := f.openComponent(open, p.name, p.stem)
		if err != nil {
			return err
		}
		f.components[p.name] = c
		if p.name == ImageEncoder {
			c.withoutPrefix()
		}
		f.dropUnused(p.name, c)
		if err := NewWeights(p.name, c.tensors, f.shapes(p.name)).check(); err != nil {
			return err
		}
	}
	return nil
}

// dropUnused takes out weights that the reference leaves out, too: those that a text encoder's file
// has when it was written for a whole UMT5 model, or for ComfyUI, which keeps the tokenizer in it;
// and a norm of Wan's image-to-video transformers that nothing uses.
func (f *Folder) dropUnused(name string, c *component) {
	var unused func(weight string) bool
	what := "an encoder has no use for, such as a decoder's"
	switch name {
	case "text_encoder":
		unused = func(weight string) bool {
			return strings.HasPrefix(weight, "decoder.") || weight == "lm_head.weight" ||
				weight == "spiece_model"
		}
	case FirstExpert, SecondExpert:
		unused = func(weight string) bool { return strings.Contains(weight, ".norm_added_q.") }
		what = "no pass uses, such as norm_added_q"
	default:
		return
	}

	// The component's map is this folder's own, so deleting does not touch the file.
	n := len(c.tensors)
	maps.DeleteFunc(c.tensors, func(weight string, _ tensor.Tensor) bool { return unused(weight) })
	if n -= len(c.tensors); n > 0 {
		f.notice("%s has %d weights that %s; they were left out", name, n, what)
	}
}

// shapes lists the weights that the configuration of a component asks for.
func (f *Folder) shapes(component string) Shapes {
	switch component {
	case "text_encoder":
		s := f.TextEncoder.Shapes()
		s.rename(f.components[component].tensors)
		return s
	case FirstExpert, SecondExpert:
		return f.Transformer.Shapes()
	case ImageEncoder:
		return f.ImageEncoder.Shapes()
	default:
		return f.VAE.Shapes()
	}
}

// Weights offers the weights of a component for binding, such as FirstExpert or "vae". They are
// views of the files and must not be used after Close. Each caller gets Weights of its own.
func (f *Folder) Weights(name string) (*Weights, error) {
	c := f.components[name]
	if c == nil {
		return nil, fmt.Errorf("the model has no component %q", name)
	}
	if c.imagined {
		return nil, fmt.Errorf("the model %s has configurations alone; allowed: a folder with weights",
			f.Name())
	}
	w := NewWeights(name, c.tensors, f.shapes(name))
	w.files = c.files
	return w, nil
}

// Bytes returns about how much memory of a CPU a component takes once it is packed for products of
// type t: a number has two bytes in matrices for bfloat16 or FP8 and in those that are bfloat16 in
// the file, else four.
func (f *Folder) Bytes(component string, t compute.DType) int64 {
	return f.packedBytes(component, t, false)
}

// ChangedBytes is Bytes where an Overlay changes every matrix: float32 numbers then have four bytes
// in any case.
func (f *Folder) ChangedBytes(component string, t compute.DType) int64 {
	return f.packedBytes(component, t, true)
}

func (f *Folder) packedBytes(component string, t compute.DType, changed bool) int64 {
	c := f.components[component]
	if c == nil {
		return 0
	}
	n := int64(0)
	for _, w := range c.tensors {
		size := int64(4)
		if len(w.Shape) == 2 && (t != compute.FP32 || !changed && w.DType == tensor.BF16) {
			size = 2
		}
		n += size * int64(w.Shape.Elements())
	}
	return n
}

// WeightNames lists the weights of a component in alphabetical order; none for an unknown one.
func (f *Folder) WeightNames(component string) []string {
	c := f.components[component]
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.tensors))
}

// TokenizerJSON returns tokenizer/tokenizer.json, at most tokenizerLimit bytes. It is read on each
// call, as a process needs it once.
func (f *Folder) TokenizerJSON() ([]byte, error) {
	return readJSON(f.fsys, tokenizerFile, tokenizerLimit)
}

// Name returns what longtake.json calls the model, or the folder's name.
func (f *Folder) Name() string { return f.Defaults.Name }

// Close unmaps the weights. Nothing that views them may be used afterwards.
func (f *Folder) Close() error {
	var errs []error
	for _, c := range f.components {
		errs = append(errs, c.close())
	}
	f.components = nil
	return errors.Join(errs...)
}

// pathless drops the path of a file system's error, which the caller names itself.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
