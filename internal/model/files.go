package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

const (
	indexLimit = 16 << 20 // bytes of a sharded checkpoint's index
	filesLimit = 4096     // of one component
)

// component is one of a folder's parts: its open files and their tensors.
type component struct {
	files   []*safetensors.File      // in the order in which they were opened
	tensors map[string]tensor.Tensor // by name, over all files
	stray   []string                 // weights that the index does not list
	// imagined: there are names, shapes and types, and no values; see OpenConfigs.
	imagined bool
}

// opener opens a safetensors file by its path in the folder, with slashes.
type opener func(file string) (*safetensors.File, error)

// source says where a component's weights are: in one file, or in those that an index lists. One of
// the two names is empty.
type source struct{ single, index string }

// openComponent opens a component's stem.safetensors, or else the files that its index lists, or
// else the only variant of these, such as fp16. It notes whatever it had to choose.
func (f *Folder) openComponent(open opener, dir, stem string) (*component, error) {
	from, err := f.findWeights(dir, stem)
	if err != nil {
		return nil, err
	}
	if from.single != "" {
		return openFiles(open, []string{path.Join(dir, from.single)}, nil)
	}

	index := path.Join(dir, from.index)
	where, err := readIndex(f.fsys, index)
	if err != nil {
		return nil, err
	}

	files := slices.Compact(slices.Sorted(maps.Values(where)))
	for i := range files {
		files[i] = path.Join(dir, files[i])
	}

	if err := f.present(files); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}

	c, err := openFiles(open, files, where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}

	if n := len(c.stray); n > 0 {
		f.notice("%s does not list %d of the weights in its files, such as %s; they were read", index, n,
			c.stray[0])
	}
	return c, nil
}

// findWeights looks for a component's files under the names that diffusers and transformers use.
// More than one variant is an error: which of them is meant is not for this program to guess.
func (f *Folder) findWeights(dir, stem string) (source, error) {
	entries, err := fs.ReadDir(f.fsys, dir)
	if err != nil {
		return source{}, fmt.Errorf("cannot read the folder %s: %w", dir, pathless(err))
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}

	single := stem + ".safetensors"
	index := single + ".index.json"
	has := func(name string) bool { return slices.Contains(names, name) }

	switch {
	case has(single):
		if has(index) {
			f.notice("%s has %s and %s; the first was read", dir, single, index)
		}
		return source{single: single}, nil
	case has(index):
		return source{index: index}, nil
	}

	// Neither: save_pretrained(variant="fp16") puts the variant's name into the file's.
	variants := variantsOf(stem, names)
	switch kinds := slices.Sorted(maps.Keys(variants)); len(kinds) {
	case 0:
		return source{}, noWeights(dir, stem, names)
	case 1:
		f.notice("%s has no %s; its variant %s was read", dir, single, kinds[0])
		return variants[kinds[0]], nil
	default:
		return source{}, fmt.Errorf("%s has the variants %s and no %s; rename the one to read", dir,
			strings.Join(kinds, " and "), single)
	}
}

// variantsOf finds files such as stem.fp16.safetensors, and indexes such as
// stem.safetensors.index.fp16.json, by the name of their variant. Of a variant with both, the
// single file counts.
func variantsOf(stem string, names []string) map[string]source {
	stem = regexp.QuoteMeta(stem)
	single := regexp.MustCompile(`^` + stem + `\.(\w+)\.safetensors$`)
	index := regexp.MustCompile(`^` + stem + `\.safetensors\.index\.(\w+)\.json$`)

	found := map[string]source{}
	for _, n := range names {
		if m := index.FindStringSubmatch(n); m != nil && found[m[1]].single == "" {
			found[m[1]] = source{index: n}
		}
		if m := single.FindStringSubmatch(n); m != nil {
			found[m[1]] = source{single: n}
		}
	}
	return found
}

// present returns an error that names the first file that is missing, and says how many are.
func (f *Folder) present(files []string) error {
	// Indexes are often downloaded without all of their files.
	var missing []string
	for _, name := range files {
		if _, err := fs.Stat(f.fsys, name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("cannot open %s: file does not exist, like %d of the %d that are listed; "+
		"download them", missing[0], len(missing), len(files))
}

// readIndex reads an index and returns the file of each weight. File names must be plain ones: an
// index is data from outside, and may not lead out of its folder.
func readIndex(fsys fs.FS, file string) (map[string]string, error) {
	data, err := readJSON(fsys, file, indexLimit)
	if err != nil {
		return nil, err
	}

	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is empty", file)
	}

	for weight, name := range index.WeightMap {
		// A name that leads elsewhere could make the program read any file.
		if !strings.HasSuffix(name, ".safetensors") || strings.ContainsAny(name, `/\:`) ||
			!fs.ValidPath(name) {
			return nil, fmt.Errorf("%s: weight %.80s is in %.80q; allowed: a .safetensors file "+
				"in the folder of the index", file, weight, name)
		}
	}
	return index.WeightMap, nil
}

// openFiles opens files and gathers their tensors; where, if given, says which file each weight has
// to be in. On an error everything is closed again.
func openFiles(open opener, files []string, where map[string]string) (*component, error) {
	if len(files) > filesLimit {
		return nil, fmt.Errorf("%d files; allowed: %d", len(files), filesLimit)
	}

	c := &component{tensors: map[string]tensor.Tensor{}}
	for _, name := range files {
		if err := c.add(open, name, where); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}

	// The other way round, a weight that the index lists has to be somewhere.
	for _, weight := range slices.Sorted(maps.Keys(where)) {
		if _, ok := c.tensors[weight]; !ok {
			return nil, errors.Join(fmt.Errorf("weight %s is not in %s", weight, where[weight]), c.close())
		}
	}
	return c, nil
}

// add opens a file and takes all of its weights. One that the index has in another file is an
// error; one that the index does not list is read too, as transformers does.
func (c *component) add(open opener, name string, where map[string]string) error {
	f, err := open(name)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)

	for _, weight := range f.Names() {
		t, err := f.Tensor(weight)
		if err != nil {
			return err
		}
		if _, twice := c.tensors[weight]; twice {
			return fmt.Errorf("weight %s is in %s and in another file", weight, name)
		}

		listed, ok := where[weight]
		if ok && listed != path.Base(name) {
			return fmt.Errorf("weight %s is in %s, the index says in %s", weight, name, listed)
		}
		if where != nil && !ok {
			c.stray = append(c.stray, weight)
		}
		c.tensors[weight] = t
	}
	return nil
}

// close unmaps all files.
func (c *component) close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
