package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/userfile"
)

// Limits of a header.
const (
	headerMax = 100 << 20 // bytes, as the format says
	rankMax   = 16        // dimensions
	countMax  = 1 << 17   // tensors; the largest models have some thousands
)

// entry is a tensor as the header describes it. Sizes are int64 so that what a file claims cannot
// overflow on a host of 32 bits.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // [begin, end) in the data, in bytes

	// What check has made of it.
	name  string
	dtype tensor.DType
	shape tensor.Shape
}

// header is a checked header: its tensors tile the data without a gap. Its holder may slice the
// data by its offsets without a further check.
type header struct {
	entries  map[string]*entry // by name
	metadata map[string]string // nil where there is none
	start    int64             // of the data in the file
}

// parseHeader reads and checks the header of a file of size bytes, of which data holds at least the
// header.
func parseHeader(data []byte, size int64) (*header, error) {
	if len(data) < 8 {
		return nil, another(data, fmt.Errorf("the file has %d bytes, too few for a header", len(data)))
	}

	// The length is checked before anything of that size is looked at.
	n := binary.LittleEndian.Uint64(data)
	if n > headerMax || n > uint64(len(data)-8) {
		err := fmt.Errorf("the header claims %d bytes; the file has %d, %d are allowed", n, len(data)-8,
			headerMax)
		if n <= headerMax {
			err = fmt.Errorf("%w: %s", err, cutShort)
		}
		return nil, another(data, err)
	}

	h := &header{entries: map[string]*entry{}, start: 8 + int64(n)}
	if err := h.decode(data[8 : 8+n]); errors.Is(err, errUnsupported) {
		return nil, err
	} else if err != nil {
		return nil, another(data, fmt.Errorf("the header is broken: %w", err))
	}
	return h, h.checkLayout(size - h.start)
}

// cutShort is what to do about an unfinished download.
const cutShort = "the file is cut short; download it again"

// another replaces err, where data does not begin as a safetensors file does, by what the file is
// instead: users point at a checkpoint of PyTorch, a Git LFS pointer, an error page.
func another(data []byte, err error) error {
	if len(data) > 8 && bytes.HasPrefix(bytes.TrimSpace(data[8:min(len(data), 64)]), []byte("{")) {
		return err
	}
	if what := userfile.What(data); what != "" {
		return fmt.Errorf("it is not a safetensors file but %s", what)
	}
	return err
}

// errUnsupported marks a tensor that is well formed and of a type that this program cannot read:
// the file is not to blame, so the error does not guess what else it might be.
var errUnsupported = errors.New("not supported")

// decode walks the object by hand, member by member: encoding/json would let the last of two
// members with the same name win.
func (h *header) decode(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is not a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if err := h.member(d, t.(string)); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}

	// Only the padding may follow.
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("%d bytes follow the JSON object", len(rest))
	}
	return nil
}

// member decodes the value of one member, a tensor or the metadata.
func (h *header) member(d *json.Decoder, name string) error {
	if name == "__metadata__" {
		if h.metadata != nil {
			return errors.New("__metadata__ appears twice")
		}
		h.metadata = map[string]string{}
		if err := d.Decode(&h.metadata); err != nil {
			return fmt.Errorf("__metadata__: %w", err)
		}
		return nil
	}

	if len(h.entries) == countMax {
		return fmt.Errorf("it has more than %d tensors", countMax)
	}
	if h.entries[name] != nil {
		return fmt.Errorf("tensor %q appears twice", name)
	}

	e := &entry{name: name}
	if err := d.Decode(e); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	h.entries[name] = e
	return nil
}

// check compares dtype, shape and offsets with each other, and fills in what callers use.
func (e *entry) check() (err error) {
	if e.dtype, err = tensor.ParseDType(e.DType); err != nil {
		return fmt.Errorf("dtype %.32q is %w; allowed: %s", e.DType, errUnsupported,
			strings.Join(tensor.DTypeNames(), ", "))
	}
	if len(e.Shape) > rankMax {
		return fmt.Errorf("it has %d dimensions, %d are allowed", len(e.Shape), rankMax)
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] {
		return fmt.Errorf("data_offsets %v are not [begin, end]", e.Offsets)
	}

	// Every step is checked for overflow before it is taken.
	size := int64(e.dtype.Size())
	for _, n := range e.Shape {
		if n < 0 || n > 0 && size > math.MaxInt64/n {
			return fmt.Errorf("shape %v is not possible", e.Shape)
		}
		size *= n
		e.shape = append(e.shape, int(n))
	}
	if have := e.Offsets[1] - e.Offsets[0]; have != size {
		return fmt.Errorf("%s %v needs %d bytes, data_offsets hold %d", e.DType, e.Shape, size, have)
	}
	return nil
}

// checkLayout refuses gaps, overlaps and tensors that end beyond the file's data bytes, as the
// format demands: nothing can hide in a file, and its size follows from its header. It also finds a
// file that is cut short, before a view of a missing page ends the program.
func (h *header) checkLayout(data int64) error {
	order := make([]*entry, 0, len(h.entries))
	for _, e := range h.entries {
		order = append(order, e)
	}
	slices.SortFunc(order, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]))
	})

	// Empty tensors share their place with the next one, so they sort first by their end.
	at := int64(0)
	for _, e := range order {
		switch {
		case e.Offsets[0] < at:
			return fmt.Errorf("tensor %q overlaps the one before it", e.name)
		case e.Offsets[0] > at:
			return fmt.Errorf("a gap of %d bytes lies before tensor %q", e.Offsets[0]-at, e.name)
		case e.Offsets[1] > data:
			return fmt.Errorf("tensor %q ends at byte %d of the data, which has %d: %s", e.name,
				e.Offsets[1], data, cutShort)
		}
		at = e.Offsets[1]
	}
	if at != data {
		return fmt.Errorf("%d bytes follow the last tensor", data-at)
	}
	return nil
}
