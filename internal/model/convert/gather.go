package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// second is the folder of a model's second transformer.
const second = "transformer_2"

// filesMax bounds how many files of weights an input may have.
const filesMax = 1024

// weight is one of a component's: its values in a mapped file, and the scale they are to be
// multiplied by, where it has one.
type weight struct {
	t     tensor.Tensor
	scale []float32 // one, or one for each row; nil: none
	name  string    // in the file, for errors
}

// component is what the inputs have of one folder of the model.
type component struct {
	from    string            // a file, for errors
	weights map[string]weight // by diffusers' names
	heads   int               // 0: not known
}

// gathered is everything that the inputs have.
type gathered struct {
	files      []*safetensors.File
	components map[string]*component // by folder
	pickles    []string              // files that only Python can read
	tokenizer  string                // the folder of a tokenizer.json; "": none
	split      bool                  // whether an expert is named: the model has two
}

// close unmaps all files.
func (g *gathered) close() error {
	var errs []error
	for _, f := range g.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// gather opens all inputs, each a file or a folder, and sorts their weights by components.
func gather(inputs []string) (*gathered, error) {
	g := &gathered{components: map[string]*component{}}
	groups := map[string][]string{}
	for _, in := range inputs {
		if err := g.find(in, groups); err != nil {
			return g, err
		}
	}
	for _, at := range slices.Sorted(maps.Keys(groups)) {
		if err := g.group(at, groups[at]); err != nil {
			return g, err
		}
	}
	return g, nil
}

// shard is the name of one file of several.
var shard = regexp.MustCompile(`-\d{5}-of-\d{5}\.safetensors$`)

// find lists the files of an input by the weights that they are a part of.
func (g *gathered) find(in string, groups map[string][]string) error {
	info, err := os.Stat(in)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", in, err)
	}
	if !info.IsDir() {
		if filepath.Ext(in) != ".safetensors" {
			return fmt.Errorf("%s is no .safetensors file; %s", in, pickled)
		}
		groups[in] = append(groups[in], in)
		return nil
	}

	// Folders of Wan's repositories have one level, or two for the tokenizer.
	files := 0
	return filepath.WalkDir(in, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", in, err)
		}
		if d.IsDir() {
			if path != in && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}

		switch filepath.Ext(path) {
		case ".safetensors":
			if files++; files > filesMax {
				return fmt.Errorf("%s has more than %d files of weights", in, filesMax)
			}
			at := shard.ReplaceAllString(path, "")
			groups[at] = append(groups[at], path)
		case ".pth", ".pt", ".bin", ".ckpt":
			g.pickles = append(g.pickles, path)
		}
		if d.Name() == "tokenizer.json" && g.tokenizer == "" {
			g.tokenizer = filepath.Dir(path)
		}
		return nil
	})
}

// pickled says what to do about a file that is a program for Python.
const pickled = `PyTorch's pickles run code when they are read; write it again in Python with ` +
	`safetensors.torch.save_file(torch.load(FILE, weights_only=True), "NAME.safetensors")`

// group takes the weights of files that belong together.
func (g *gathered) group(at string, paths []string) error {
	var files []*safetensors.File
	var plain []string
	for _, path := range paths {
		f, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		g.files, files = append(g.files, f), append(files, f)
		for _, n := range f.Names() {
			if c, rest := split(n); c == "" {
				plain = append(plain, rest)
			}
		}
	}

	// Of several files only one has the weight that tells what all of them are.
	own, found := bare(plain), map[string]*component{}
	for _, f := range files {
		if err := take(f, own, found); err != nil {
			return fmt.Errorf("%s: %w", f.Path(), err)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("%s has no weights of a Wan model", paths[0])
	}
	return g.add(at, paths[0], found)
}

// add puts what a group has into the folders of the model.
func (g *gathered) add(at, path string, found map[string]*component) error {
	for name, c := range found {
		folder := name
		c.from = path

		// Nothing in the weights says which expert they are.
		if name == transformer {
			known := false
			folder, known = ofNoise(at)
			g.split, c.heads = g.split || known, nativeHeads(path)
		}
		if old := g.components[folder]; old != nil {
			return fmt.Errorf("%s and %s both have a %s; allowed: one, or two with high_noise and "+
				"low_noise in their names", old.from, path, name)
		}
		if err := c.scaled(); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		g.components[folder] = c
	}
	return nil
}

// Names that belong to quantised weights: the first two end those of scales, by which to multiply;
// the others change nothing of what the weights are.
var (
	scaleNames = []string{".scale_weight", ".weight_scale"}
	dropped    = []string{".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8"}
)

// take sorts the weights of a file into components; own is that of weights without a prefix.
func take(f *safetensors.File, own string, found map[string]*component) error {
	for _, name := range f.Names() {
		folder, rest := split(name)
		if folder == "" {
			folder = own
		}
		drop := slices.ContainsFunc(dropped, func(s string) bool { return strings.HasSuffix(rest, s) })
		if folder == "" || drop {
			continue
		}

		t, err := f.Tensor(name)
		if err != nil {
			return err
		}

		c := found[folder]
		if c == nil {
			c = &component{weights: map[string]weight{}}
			found[folder] = c
		}

		// UMT5's embedding may be there under two names.
		to := rename(folder, rest)
		if _, twice := c.weights[to]; twice && to != "shared.weight" {
			return fmt.Errorf("weight %.100q is there twice, as %.100q", name, to)
		}
		if to != "" {
			c.weights[to] = weight{t: t, name: name}
		}
	}
	return nil
}

// scaled gives scales to the weights that they belong to, and refuses what cannot be converted.
func (c *component) scaled() error {
	for name, s := range c.weights {
		for _, suffix := range scaleNames {
			of, ok := strings.CutSuffix(name, suffix)
			if !ok {
				continue
			}
			w, ok := c.weights[of+".weight"]
			v, err := s.t.Float32()
			if !ok || err != nil || len(v) != 1 && (len(w.t.Shape) < 2 || len(v) != w.t.Shape[0]) {
				return fmt.Errorf("%.100q %v %v is no scale of a weight; allowed: one number, or one for "+
					"each row", s.name, s.t.DType, s.t.Shape)
			}
			w.scale = v
			c.weights[of+".weight"] = w
			delete(c.weights, name)
		}
	}

	for _, w := range c.weights {
		if !slices.Contains(readable, w.t.DType) {
			return fmt.Errorf("weight %.100q is %v; allowed: F32, BF16, F16, F8_E4M3, F8_E5M2", w.name,
				w.t.DType)
		}
	}
	return nil
}
