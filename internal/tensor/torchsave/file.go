package torchsave

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// Limits of a file, besides that of the values. torch.save writes five entries or so for a tensor,
// and a pickle of some 300 bytes.
const (
	entriesMax = 64
	pickleMax  = 16 << 10
	dimsMax    = 16
)

// ErrFormat is wrapped by errors about bytes that are no such file.
var ErrFormat = errors.New("no tensor of torch.save")

// wrong is an ErrFormat with a reason.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Read returns the tensor of a file of so many bytes, whose values may have most bytes. Its type is
// F32, F16 or BF16, and its data are in memory.
func Read(r io.ReaderAt, size, most int64) (tensor.Tensor, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return tensor.Tensor{}, wrong("it is no zip archive, which torch.save writes since version 1.6")
	}
	if len(z.File) > entriesMax {
		return tensor.Tensor{}, wrong("%d entries; allowed: %d", len(z.File), entriesMax)
	}

	// All entries are below one folder, which is called as the file was.
	pickled := slices.IndexFunc(z.File, func(f *zip.File) bool {
		return path.Base(f.Name) == "data.pkl" && strings.Count(f.Name, "/") == 1
	})
	if pickled < 0 {
		return tensor.Tensor{}, wrong("the archive has no data.pkl")
	}

	// The values come last, once it is known that they are wanted.
	dir := path.Dir(z.File[pickled].Name)
	program, err := read(z.File[pickled], pickleMax)
	if err != nil {
		return tensor.Tensor{}, err
	}
	v, err := describe(program)
	if err != nil {
		return tensor.Tensor{}, err
	}

	if err := checkOrder(z, dir); err != nil {
		return tensor.Tensor{}, err
	}
	return v.load(z, dir, most)
}

// checkOrder wants little-endian values, which files say since version 2.0.
func checkOrder(z *zip.Reader, dir string) error {
	f := find(z, dir+"/byteorder")
	if f == nil {
		return nil
	}
	order, err := read(f, 16)
	if err == nil && string(order) != "little" {
		err = wrong("its byte order is %.16q; allowed: little", order)
	}
	return err
}

// load reads the values of a view.
func (v view) load(z *zip.Reader, dir string, most int64) (tensor.Tensor, error) {
	t := tensor.Tensor{DType: v.dtype, Shape: v.shape}
	n, width := int64(v.shape.Elements()), int64(v.dtype.Size())
	if n*width > most {
		return t, wrong("a tensor of shape %v has more than %d bytes", v.shape, most)
	}

	f := find(z, dir+"/data/"+v.key)
	if f == nil {
		return t, wrong("the archive has no values (data/%.32s)", v.key)
	}

	// The whole storage is read, so that its checksum is compared.
	data, err := read(f, most)
	if err != nil {
		return t, err
	}

	from, to := v.offset*width, (v.offset+n)*width
	if v.elements*width != int64(len(data)) || to > int64(len(data)) {
		return t, wrong("values %d to %d of %d, in %d bytes", v.offset, v.offset+n, v.elements, len(data))
	}
	t.Data = data[from:to]
	return t, nil
}

// find returns the entry of a name, nil if there is none.
func find(z *zip.Reader, name string) *zip.File {
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return z.File[i]
}

// read returns the bytes of an entry. torch.save compresses nothing, so an entry is never longer
// than the file.
func read(f *zip.File, most int64) ([]byte, error) {
	size := f.UncompressedSize64
	if f.Method != zip.Store || size != f.CompressedSize64 {
		return nil, wrong("entry %.64q is compressed", f.Name)
	}
	if size > uint64(most) { //nolint:gosec // limits are positive
		return nil, wrong("entry %.64q has %d bytes; allowed: %d", f.Name, size, most)
	}

	// What the archive says of an entry may be wrong: it is read as far as it goes, and summed.
	in, err := f.Open()
	if err != nil {
		return nil, wrong("entry %.64q: %v", f.Name, err)
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, wrong("entry %.64q: %v", f.Name, err)
	}
	return data, nil
}
