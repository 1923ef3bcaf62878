package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"unsafe"

	"github.com/longtake/longtake/internal/tensor"
)

// File is an open file. Its tensors are views: using one after Close is a fault that ends the
// program. Safe for concurrent use.
type File struct {
	path string
	// Of the file that was opened; nil for one in memory.
	info fs.FileInfo
	h    *header
	// What follows the header: the tensors, without gaps.
	data  []byte
	unmap func() error
}

// Open maps a file for reading. A broken one is an error that names the file and, where it can, the
// tensor. The file must not be changed or cut short while it is open.
func Open(path string) (*File, error) {
	data, info, unmap, err := mapFile(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path is said already
		}
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}

	// From here on the mapping has to go when something is wrong.
	f, err := parse(path, data)
	if err != nil {
		unmap()
		return nil, err
	}
	f.info, f.unmap = info, unmap
	return f, nil
}

// Parse reads a file that is in memory; data must not change while it is used. The tensors are
// views of data. An error says what is wrong with the header, as for Open.
func Parse(data []byte) (*File, error) { return parse("safetensors in memory", data) }

// ParseString is Parse for a file that is part of the program; it is not copied.
func ParseString(data string) (*File, error) {
	return Parse(unsafe.Slice(unsafe.StringData(data), len(data)))
}

// parse checks the header of data; path is what errors call it.
func parse(path string, data []byte) (*File, error) {
	h, err := parseHeader(data, int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return &File{path: path, h: h, data: data[h.start:], unmap: func() error { return nil }}, nil
}

// Path returns where the file is, or says that it is in memory.
func (f *File) Path() string { return f.path }

// Info describes the file that was opened, even if another one has its name by now. It is nil for a
// file in memory.
func (f *File) Info() fs.FileInfo { return f.info }

// Bytes views what follows the header: the tensors, and nothing else.
func (f *File) Bytes() []byte { return f.data }

// Names lists the tensors in alphabetical order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.h.entries)) }

// Metadata returns the header's free text; it may be nil.
func (f *File) Metadata() map[string]string { return f.h.metadata }

// Has reports whether the file holds a tensor of that name.
func (f *File) Has(name string) bool { return f.h.entries[name] != nil }

// Tensor returns a view of a tensor, read-only where the file is mapped. It fails, and names the
// file, when there is none of that name.
func (f *File) Tensor(name string) (tensor.Tensor, error) {
	e := f.h.entries[name]
	if e == nil {
		return tensor.Tensor{}, fmt.Errorf("%s has no tensor %q", f.path, name)
	}
	return tensor.Tensor{DType: e.dtype, Shape: slices.Clone(e.shape),
		Data: f.data[e.Offsets[0]:e.Offsets[1]:e.Offsets[1]]}, nil
}

// WillNeed has the system read a tensor from the disk, and does not wait for that.
func (f *File) WillNeed(name string) { f.advise(name, true) }

// Leave says that a tensor will not be used for a while. It stays in the system's cache of files as
// long as there is room, but does not count as this process's memory.
func (f *File) Leave(name string) { f.advise(name, false) }

// advise passes a hint on where the file is mapped: other memory may not be dropped.
func (f *File) advise(name string, need bool) {
	if e := f.h.entries[name]; e != nil && f.info != nil {
		advise(f.data[e.Offsets[0]:e.Offsets[1]], need)
	}
}

// Close unmaps the file.
func (f *File) Close() error { return f.unmap() }
