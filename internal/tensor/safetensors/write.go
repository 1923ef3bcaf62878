package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/tensor"
)

// Write writes tensors in alphabetical order, so that the same tensors and metadata give the same
// bytes. It fails before the first byte where a tensor cannot be described, and later where its
// data is not of the size that its shape says.
func Write(w io.Writer, tensors map[string]tensor.Tensor, metadata map[string]string) error {
	names := slices.Sorted(maps.Keys(tensors))
	if _, err := writeHeader(w, names, tensors, metadata); err != nil {
		return err
	}

	for _, n := range names {
		// A file of another size than its header says would be refused by every reader.
		if t := tensors[n]; len(t.Data) != t.Shape.Elements()*t.DType.Size() {
			return fmt.Errorf("cannot write tensor %q: %d bytes of %v %v", n, len(t.Data), t.DType, t.Shape)
		}
		if _, err := w.Write(tensors[n].Data); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", n, err)
		}
	}
	return nil
}

// WriteFrom is Write for tensors whose data is made while it is written: of those given, types and
// shapes count alone. fill is called for each in alphabetical order, and has to write exactly the
// bytes that type and shape ask for.
func WriteFrom(w io.Writer, tensors map[string]tensor.Tensor, metadata map[string]string,
	fill func(name string, w io.Writer) error) error {
	names := slices.Sorted(maps.Keys(tensors))
	if _, err := writeHeader(w, names, tensors, metadata); err != nil {
		return err
	}

	for _, n := range names {
		c := counter{w: w}
		if err := fill(n, &c); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", n, err)
		}
		if t := tensors[n]; c.n != int64(t.Shape.Elements())*int64(t.DType.Size()) {
			return fmt.Errorf("cannot write tensor %q: %d bytes of %v %v", n, c.n, t.DType, t.Shape)
		}
	}
	return nil
}

// counter counts the bytes written through it.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Blank writes the header of float32 tensors to f and makes the file long enough for their values,
// which the caller fills in, in any order and piece by piece. It returns at which byte of the file
// each tensor begins. Until they are written, values are zeros.
func Blank(f *os.File, shapes map[string]tensor.Shape, metadata map[string]string) (
	map[string]int64, error) {
	// The header needs types and shapes alone.
	tensors := map[string]tensor.Tensor{}
	for n, s := range shapes {
		tensors[n] = tensor.Tensor{DType: tensor.F32, Shape: s}
	}

	names := slices.Sorted(maps.Keys(tensors))
	at, err := writeHeader(f, names, tensors, metadata)
	if err != nil {
		return nil, err
	}

	// Tensors follow each other in the order of their names.
	places := map[string]int64{}
	for _, n := range names {
		places[n] = at
		at += 4 * int64(shapes[n].Elements())
	}
	if err := f.Truncate(at); err != nil {
		return nil, fmt.Errorf("cannot write safetensors: %w", err)
	}
	return places, nil
}

// writeHeader writes the length and the header, and returns the bytes that it has written.
func writeHeader(w io.Writer, names []string, tensors map[string]tensor.Tensor,
	metadata map[string]string) (int64, error) {
	text, err := encodeHeader(names, tensors, metadata)
	if err != nil {
		return 0, fmt.Errorf("cannot write safetensors: %w", err)
	}
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if _, err := w.Write(head); err != nil {
		return 0, fmt.Errorf("cannot write safetensors: %w", err)
	}
	return int64(len(head)), nil
}

// encodeHeader returns the JSON of the header for tensors in the order of names. Spaces pad it so
// that the data begins at a multiple of 8 and every element is aligned.
func encodeHeader(names []string, tensors map[string]tensor.Tensor,
	metadata map[string]string) ([]byte, error) {
	// encoding/json sorts the members by name, which is the order of the data as well.
	members, at := map[string]any{}, int64(0)
	if len(metadata) > 0 {
		members["__metadata__"] = metadata
	}

	for _, n := range names {
		t := tensors[n]
		size := int64(t.Shape.Elements()) * int64(t.DType.Size())
		e := entry{DType: t.DType.String(), Shape: []int64{}, Offsets: []int64{at, at + size}}
		for _, d := range t.Shape {
			e.Shape = append(e.Shape, int64(d))
		}

		// The reader's own checks, so that it never refuses what was written.
		if err := e.check(); err != nil || n == "__metadata__" {
			return nil, fmt.Errorf("tensor %q cannot be described: %w", n, err)
		}
		members[n], at = e, e.Offsets[1]
	}

	text, err := json.Marshal(members)
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return text, err
}
