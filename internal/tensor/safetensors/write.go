package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/longtake/longtake/internal/tensor"
)

// Write writes tensors in alphabetical order; the same tensors and metadata give the same bytes.
func Write(w io.Writer, tensors map[string]tensor.Tensor, metadata map[string]string) error {
	names := slices.Sorted(maps.Keys(tensors))
	text, err := encodeHeader(names, tensors, metadata)
	if err != nil {
		return fmt.Errorf("cannot write safetensors: %w", err)
	}
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("cannot write safetensors: %w", err)
	}
	for _, n := range names {
		if _, err := w.Write(tensors[n].Data); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", n, err)
		}
	}
	return nil
}

// encodeHeader pads the header with spaces so that the data begins at a multiple of 8.
func encodeHeader(names []string, tensors map[string]tensor.Tensor,
	metadata map[string]string) ([]byte, error) {
	members, at := map[string]any{}, int64(0)
	if len(metadata) > 0 {
		members["__metadata__"] = metadata
	}
	for _, n := range names {
		t := tensors[n]
		e := entry{DType: t.DType.String(), Shape: []int64{},
			Offsets: []int64{at, at + int64(len(t.Data))}}
		for _, d := range t.Shape {
			e.Shape = append(e.Shape, int64(d))
		}
		if err := e.check(); err != nil || n == "__metadata__" {
			return nil, fmt.Errorf("tensor %q is not one: %w", n, err)
		}
		members[n], at = e, e.Offsets[1]
	}
	text, err := json.Marshal(members)
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return text, err
}

// WriteFile writes a file under a temporary name beside path and renames it when it is complete.
func WriteFile(path string, tensors map[string]tensor.Tensor, metadata map[string]string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	err = Write(f, tensors, metadata)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
