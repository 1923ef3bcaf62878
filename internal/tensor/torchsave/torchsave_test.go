package torchsave

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
)

const most = 1 << 16

// pickled is the program of torch.save for a tensor, in which tests change what they want refused.
type pickled struct {
	storage, key   string
	elements       int64
	offset         int64
	sizes, strides []int64
}

// small is a tensor of float32 [1, 2, 3].
func small() pickled {
	return pickled{storage: "FloatStorage", key: "0", elements: 6, sizes: []int64{1, 2, 3},
		strides: []int64{6, 3, 1}}
}

func (p pickled) program() []byte {
	number := func(n int64) string {
		switch {
		case n >= 0 && n < 256:
			return "K" + string([]byte{byte(n)})
		case n >= 0 && n < 65536:
			return "M" + string(binary.LittleEndian.AppendUint16(nil, uint16(n)))
		case n == int64(int32(n)):
			return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n)))
		}
		return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
	text := func(s string) string {
		return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	list := func(all []int64) string {
		out := "("
		for _, n := range all {
			out += number(n)
		}
		return out + "t"
	}
	return []byte("\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((" + text("storage") + "q\x01" +
		"ctorch\n" + p.storage + "\nq\x02" + text(p.key) + "q\x03" + text("cpu") + "q\x04" +
		number(p.elements) + "tq\x05Q" + number(p.offset) + list(p.sizes) + "q\x06" +
		list(p.strides) +
		"q\x07\x89ccollections\nOrderedDict\nq\x08)Rq\x09tq\x0aRq\x0b.")
}

// archive is a file with a program, and entries of names and contents.
func archive(t testing.TB, program []byte, method uint16, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	entries = append([]string{"x/data.pkl", string(program)}, entries...)
	for i := 0; i < len(entries); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: entries[i], Method: method})
		if err == nil {
			_, err = w.Write([]byte(entries[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readBytes(b []byte) (tensor.Tensor, error) {
	return Read(bytes.NewReader(b), int64(len(b)), most)
}

// values are six numbers of float32.
var values = string(tensor.Bytes([]float32{1, 2, 3, 4, 5, 6}))

// filesOfTorch are those of testdata/files.txt, which says how they were made.
func filesOfTorch(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "files.txt"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, part := range strings.Split(string(text), "\n\n")[1:] {
		name, data, _ := strings.Cut(part, "\n")
		if files[name], err = base64.StdEncoding.DecodeString(data); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestFilesOfTorch reads files that torch.save has written, and says what others hold.
func TestFilesOfTorch(t *testing.T) {
	want := make([]float32, 2*3*4*5)
	for i := range want {
		want[i] = float32(i) - 3.5
	}
	files := filesOfTorch(t)
	for name, dtype := range map[string]tensor.DType{"f32": tensor.F32, "bf16": tensor.BF16,
		"f16": tensor.F16, "slice": tensor.F32} {
		x, err := readBytes(files[name])
		if err != nil || x.DType != dtype || !x.Shape.Equal(tensor.Shape{1, 2, 3, 4, 5}) {
			t.Fatalf("%s: %v %v, %v", name, x.DType, x.Shape, err)
		}
		if got, err := x.Float32(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, says := range map[string]string{"f64": "DoubleStorage", "list": "instruction 0x5d",
		"turned": "contiguous()", "legacy": "since version 1.6"} {
		_, err := readBytes(files[name])
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", name, err, says)
		}
	}
}

// TestRead reads what it is given, and refuses in one line whatever else an archive may say.
func TestRead(t *testing.T) {
	x, err := readBytes(archive(t, small().program(), zip.Store, "x/data/0", values, "x/byteorder",
		"little"))
	if v, _ := x.Float32(); err != nil || fmt.Sprint(v) != "[1 2 3 4 5 6]" ||
		!x.Shape.Equal(tensor.Shape{1, 2, 3}) {
		t.Fatalf("%v, %v", x, err)
	}

	f := func(says string, b []byte) {
		t.Helper()
		_, err := readBytes(b)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want %q", err, says)
		}
	}
	good := small().program()
	f("no zip archive", []byte("PK\x03\x04"))
	f("compressed", archive(t, good, zip.Deflate, "x/data/0", values))
	f("has no values", archive(t, good, zip.Store, "y/data/0", values))
	f("in 20 bytes", archive(t, good, zip.Store, "x/data/0", values[:20]))
	f("byte order", archive(t, good, zip.Store, "x/data/0", values, "x/byteorder", "big"))
	f("checksum", bytes.Replace(archive(t, good, zip.Store, "x/data/0", values), []byte(values),
		[]byte("x"+values[1:]), 1))

	p := small()
	p.elements, p.sizes, p.strides = 1<<20, []int64{1 << 20}, []int64{1}
	f("more than 65536 bytes", archive(t, p.program(), zip.Store, "x/data/0", values))
	var many []string
	for i := range entriesMax {
		many = append(many, fmt.Sprintf("x/%d", i), "")
	}
	f("entries", archive(t, good, zip.Store, many...))
}

// TestProgramsAreRefused wants an error for every pickle but that of one tensor.
func TestProgramsAreRefused(t *testing.T) {
	f := func(says string, change func(*pickled)) {
		t.Helper()
		p := small()
		change(&p)
		if _, err := describe(p.program()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v; want %q", p, err, says)
		}
	}
	f("allowed: float32", func(p *pickled) { p.storage = "ByteStorage" })
	f("another way", func(p *pickled) { p.key = "../0" })
	f("another way", func(p *pickled) { p.offset = 7 })
	f("another way", func(p *pickled) { p.offset = -1 })
	f("another way", func(p *pickled) { p.elements = 1 << 50 })
	f("another way", func(p *pickled) { p.strides = p.strides[1:] })
	f("contiguous()", func(p *pickled) { p.strides[1] = 1 })
	f("shape [1 0 3]", func(p *pickled) { p.sizes[1] = 0 })
	f("shape", func(p *pickled) { p.sizes = []int64{1 << 30, 1 << 30, 1 << 30} })
	f("dimensions", func(p *pickled) { p.sizes, p.strides = make([]int64, 20), make([]int64, 20) })

	good := string(small().program())
	for says, code := range map[string]string{
		`calls "os.system"`:     "\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
		"what is no function":   "\x80\x02K\x01)R.",
		"of protocol 4":         "\x80\x04" + good[2:],
		"instruction 0x5d":      "]",
		"something else":        "\x80\x02K\x01.",
		"not end with one":      good + "K",
		"in the middle":         good[:len(good)-1],
		"not there":             "\x80\x02t.",
		"of 4294967295 bytes":   "\x80\x02X\xff\xff\xff\xff.",
		"a storage by int64":    "\x80\x02K\x01Q.",
		"more than 8 bytes":     "\x80\x02\x8a\x09.",
		"keeps a value that is": "\x80\x02q\x00.",
	} {
		if _, err := describe([]byte(code)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want %q", code, err, says)
		}
	}
	for n := range good {
		if _, err := describe([]byte(good[:n])); err == nil {
			t.Errorf("the first %d bytes of a pickle are one", n)
		}
	}
}

// FuzzDescribe wants no program to do more than fail, and a tensor to be within its storage.
func FuzzDescribe(f *testing.F) {
	f.Add(small().program())
	f.Fuzz(func(t *testing.T, code []byte) {
		v, err := describe(code)
		if err != nil {
			return
		}
		if n := int64(v.shape.Elements()); n < 1 || n > elementsMax || v.offset > v.elements ||
			v.dtype == tensor.Invalid {
			t.Errorf("%+v", v)
		}
	})
}

// FuzzRead wants no archive to do more than fail, and a tensor to have the values of its shape.
func FuzzRead(f *testing.F) {
	f.Add(archive(f, small().program(), zip.Store, "x/data/0", values))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := readBytes(b); err == nil {
			if _, err := x.Float32(); err != nil {
				t.Error(err)
			}
		}
	})
}
