package golden

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// twinFile describes a twin: a model folder of a published model's classes and options in tiny
// sizes. tools/twin.py writes it, and says how weights follow from their names.
type twinFile struct {
	// Shared names the folder of testdata/golden that a component is copied from.
	Shared  map[string]string        `json:"shared"`
	Weights map[string]twinComponent `json:"weights"`
}

// twinComponent lists the weights of one component.
type twinComponent struct {
	DType  string                  `json:"dtype"`  // of the file: F32 or BF16
	SHA256 string                  `json:"sha256"` // of all values in the order of their names
	Shapes map[string]tensor.Shape `json:"shapes"`
}

// Twin writes the twin testdata/golden/twins/name, a whole diffusers folder, and returns its path
// in a temporary directory of the test. The weights have the same bits as those that the reference
// computed its goldens with.
func Twin(t testing.TB, name string) string {
	t.Helper()
	from, dir := Root("testdata", "golden", "twins", name), filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "twin.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "twin.json")); err != nil {
		t.Fatal(err)
	}
	var twin twinFile
	if err := json.Unmarshal(data, &twin); err != nil {
		t.Fatal(err)
	}

	for component, folder := range twin.Shared {
		from := os.DirFS(Root("testdata", "golden", folder, component))
		if err := os.CopyFS(filepath.Join(dir, component), from); err != nil {
			t.Fatal(err)
		}
	}
	for component, w := range twin.Weights {
		writeTwin(t, filepath.Join(dir, component), component, w)
	}
	return dir
}

// Values returns the values of a tensor that follow from its name, as tools/twin.py has them.
func Values(component, name string, shape ...int) []float32 {
	return twinValues(component+"/"+name, name, shape)
}

// writeTwin writes the weights of one component into its folder.
func writeTwin(t testing.TB, dir, component string, w twinComponent) {
	t.Helper()
	tensors, hash := map[string]tensor.Tensor{}, sha256.New()
	for _, n := range slices.Sorted(maps.Keys(w.Shapes)) {
		v := twinValues(component+"/"+n, n, w.Shapes[n])
		tensors[n] = tensor.Tensor{DType: tensor.F32, Shape: w.Shapes[n], Data: tensor.Bytes(v)}
		if w.DType == tensor.BF16.String() {
			tensors[n] = tensor.Tensor{DType: tensor.BF16, Shape: w.Shapes[n], Data: toBF16(v)}
		}
		hash.Write(tensors[n].Data)
	}

	// Other values than the reference's would look like an error of whatever is tested with them.
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != w.SHA256 {
		t.Fatalf("the twin's %s has other weights than tools/twin.py makes: SHA-256 %s", component, sum)
	}

	name := "diffusion_pytorch_model.safetensors"
	if strings.HasSuffix(component, "_encoder") {
		name = "model.safetensors"
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	err = safetensors.Write(out, tensors, map[string]string{"format": "pt"})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// toBF16 rounds finite values to bfloat16, to nearest, ties to even: two bytes each.
func toBF16(v []float32) []byte {
	b := make([]byte, 0, 2*len(v))
	for _, f := range v {
		bits := math.Float32bits(f)
		b = binary.LittleEndian.AppendUint16(b, uint16((bits+0x7fff+bits>>16&1)>>16))
	}
	return b
}

// twinValues returns the values of a weight, which follow from its component and name: uniform
// numbers of splitmix64 (Steele, Lea, Flood 2014), in a range that suits its kind. Each operation
// is rounded to float32, as numpy does it.
func twinValues(path, name string, shape tensor.Shape) []float32 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, path)
	key, v := h.Sum64(), make([]float32, shape.Elements())

	fanIn := 1
	for _, n := range shape[min(1, len(shape)):] {
		fanIn *= n
	}
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	}
	scale, add := float32(math.Sqrt(3/float64(fanIn))), float32(0)
	switch {
	case ends(".gamma") || ends(".weight") && len(shape) == 1:
		scale, add = 0.2, 1
	case ends(".bias"):
		scale = 0.1
	case ends("scale_shift_table", "pos_embed"):
		scale = 0.3
	case ends("shared.weight", "embed_tokens.weight", "class_embedding",
		"position_embedding.weight"):
		scale = 1
	}

	for i := range v {
		z := key + uint64(i+1)*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		u := float32(float32(z>>40)*0x1p-23) - 1
		v[i] = float32(scale*u) + add
	}
	return v
}
