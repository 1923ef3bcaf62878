package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/tensor"
)

// file frames a header and data bytes.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]tensor.Tensor{}
		names := rapid.SliceOfNDistinct(rapid.StringN(0, 12, 40), 0, 6, rapid.ID[string])
		for _, n := range names.Draw(t, "names") {
			dt := tensor.DType(rapid.IntRange(int(tensor.F64), int(tensor.Bool)).Draw(t, "dtype"))
			shape := tensor.Shape(rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape"))
			size := shape.Elements() * dt.Size()
			data := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")
			in[n] = tensor.Tensor{DType: dt, Shape: shape, Data: data}
		}
		var a, b bytes.Buffer
		meta := map[string]string{"k": "v"}
		if Write(&a, in, meta) != nil || Write(&b, in, meta) != nil {
			t.Fatal("cannot write")
		}
		f, err := Parse(a.Bytes())
		if err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) || f.h.start%8 != 0 {
			t.Fatalf("cannot read back or not the same bytes twice: %v", err)
		}
		for n, want := range in {
			got, err := f.Tensor(n)
			if err != nil || got.DType != want.DType || !got.Shape.Equal(want.Shape) ||
				!bytes.Equal(got.Data, want.Data) {
				t.Fatalf("%q: %v %v, %v", n, got.DType, got.Shape, err)
			}
		}
		if len(f.Names()) != len(in) || f.Metadata()["k"] != "v" {
			t.Fatalf("names %v, metadata %v", f.Names(), f.Metadata())
		}
	})
}

func TestBrokenFilesAreRefused(t *testing.T) {
	const f32 = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for want, data := range map[string][]byte{
		"too few":           {1, 2, 3},
		"claims":            binary.LittleEndian.AppendUint64(nil, 1<<40),
		"not a JSON object": file("[]", 0),
		"broken":            file("{", 0),
		"follow the JSON":   file(f32+"} x", 8),
		"appears twice":     file(f32+`,"a":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}`, 12),
		"dtype":             file(`{"a":{"dtype":"F3","shape":[],"data_offsets":[0,4]}}`, 4),
		"needs 8 bytes":     file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4),
		"not possible":      file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4),
		"is not possible": file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],
			"data_offsets":[0,0]}}`, 0),
		"[begin, end]": file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4),
		"dimensions": file(`{"a":{"dtype":"U8","shape":[1`+strings.Repeat(",1", 20)+
			`],"data_offsets":[0,1]}}`, 1),
		"overlaps":             file(f32+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"gap of 4":             file(f32+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16),
		"cut short":            file(f32+"}", 7),
		"3 bytes follow":       file(f32+"}", 11),
		"__metadata__":         file(`{"__metadata__":{"a":1}}`, 0),
		"__metadata__ appears": file(`{"__metadata__":{},"__metadata__":{}}`, 0),
	} {
		if _, err := Parse(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestAHeaderOfTooManyTensorsIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("a header of 8 MB")
	}
	var b strings.Builder
	b.WriteString("{")
	for i := range countMax + 1 {
		fmt.Fprintf(&b, `"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, i)
	}
	header := strings.TrimSuffix(b.String(), ",") + "}"
	if _, err := Parse(file(header, 0)); err == nil || !strings.Contains(err.Error(), "tensors") {
		t.Errorf("%d tensors: %v", countMax+1, err)
	}
}

func TestFilesOnDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	in := map[string]tensor.Tensor{"w": tensor.FromFloat32([]float32{1, 2}, 2)}
	var b bytes.Buffer
	if err := Write(&b, in, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Tensor("w")
	if v, _ := w.Float32(); err != nil || len(v) != 2 || v[1] != 2 || !f.Has("w") {
		t.Errorf("read %v, %v", v, err)
	}
	if _, err := f.Tensor("b"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), dir} {
		if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("error %v does not name %s", err, bad)
		}
	}
	in["x"] = tensor.Tensor{DType: tensor.F32, Shape: tensor.Shape{3}}
	if err := Write(&b, in, nil); err == nil {
		t.Error("a tensor without data was written")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"k":"v"}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		for _, n := range file.Names() {
			x, err := file.Tensor(n)
			if err != nil || len(x.Data) != x.Shape.Elements()*x.DType.Size() {
				t.Fatalf("%q: %d bytes for %v %v, %v", n, len(x.Data), x.DType, x.Shape, err)
			}
		}
	})
}
