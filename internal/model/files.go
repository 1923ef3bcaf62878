package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

const (
	indexLimit = 16 << 20 // bytes of a sharded checkpoint's index
	filesLimit = 4096     // of one component
)

// component is a part of a folder: its open files and their tensors.
type component struct {
	files   []*safetensors.File
	tensors map[string]tensor.Tensor
}

// opener opens a safetensors file by its path in the folder.
type opener func(file string) (*safetensors.File, error)

// openComponent opens stem.safetensors, or the files that its index lists.
func openComponent(fsys fs.FS, open opener, dir, stem string) (*component, error) {
	single := path.Join(dir, stem+".safetensors")
	index := single + ".index.json"
	if _, err := fs.Stat(fsys, single); err == nil {
		return openFiles(open, []string{single}, nil)
	}
	where, err := readIndex(fsys, index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds neither %s nor %s; weights must be safetensors", dir,
			path.Base(single), path.Base(index))
	}
	if err != nil {
		return nil, err
	}
	files := slices.Compact(slices.Sorted(maps.Values(where)))
	for i := range files {
		files[i] = path.Join(dir, files[i])
	}
	c, err := openFiles(open, files, where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	return c, nil
}

// readIndex returns the file of each weight.
func readIndex(fsys fs.FS, file string) (map[string]string, error) {
	data, err := readLimited(fsys, file, indexLimit)
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
			return nil, fmt.Errorf("%s: weight %.80s is in %.80q; allowed: a .safetensors file beside "+
				"the index", file, weight, name)
		}
	}
	return index.WeightMap, nil
}

// openFiles opens files and gathers their tensors; where, if given, says which file holds which.
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
	for weight, name := range where {
		if _, ok := c.tensors[weight]; !ok {
			return nil, errors.Join(fmt.Errorf("weight %s is not in %s", weight, name), c.close())
		}
	}
	return c, nil
}

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
		if where != nil && where[weight] != path.Base(name) {
			return fmt.Errorf("weight %s is in %s, which the index does not say", weight, name)
		}
		c.tensors[weight] = t
	}
	return nil
}

func (c *component) close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
