// Package golden reads what the reference implementation computed (testdata/golden) and measures
// how far a result is from it. Only tests import it.
package golden

import (
	"encoding/json"
	"math"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Root returns the repository's path of the given elements.
func Root(elem ...string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(file), "..", ".."}, elem...)...)
}

// File is one golden file.
type File struct {
	t testing.TB
	f *safetensors.File
}

// Open opens testdata/golden/name.safetensors.
func Open(t testing.TB, name string) *File {
	t.Helper()
	f, err := safetensors.Open(Root("testdata", "golden", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &File{t, f}
}

// Tensor returns a tensor by name.
func (g *File) Tensor(name string) tensor.Tensor {
	g.t.Helper()
	x, err := g.f.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	return x
}

// Floats returns a floating-point tensor's values.
func (g *File) Floats(name string) []float32 {
	g.t.Helper()
	v, err := g.Tensor(name).Float32()
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// Ints returns an I64 tensor's values.
func (g *File) Ints(name string) []int64 {
	g.t.Helper()
	x := g.Tensor(name)
	if x.DType != tensor.I64 {
		g.t.Fatalf("%s is %v, not I64", name, x.DType)
	}
	out := make([]int64, len(x.Data)/8)
	for i := range out {
		for b := range 8 {
			out[i] |= int64(x.Data[8*i+b]) << (8 * b)
		}
	}
	return out
}

// Names lists the tensors.
func (g *File) Names() []string { return g.f.Names() }

// Meta decodes the metadata value of key, which is JSON text, into v.
func (g *File) Meta(key string, v any) {
	g.t.Helper()
	if err := json.Unmarshal([]byte(g.f.Metadata()[key]), v); err != nil {
		g.t.Fatalf("metadata %s: %v", key, err)
	}
}

// RelL2 returns |got-want|₂ / |want|₂, +Inf when lengths differ or a value is NaN.
func RelL2(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var num, den float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		num += d * d
		den += float64(want[i]) * float64(want[i])
	}
	if math.IsNaN(num) {
		return math.Inf(1)
	}
	if den == 0 {
		return math.Sqrt(num)
	}
	return math.Sqrt(num / den)
}

// PSNR returns the peak signal-to-noise ratio of 8-bit images in dB, +Inf when they are equal and
// 0 when their lengths differ.
func PSNR(got, want []byte) float64 {
	if len(got) != len(want) {
		return 0
	}
	var sum float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255*float64(len(want))/sum)
}

// Near fails the test when got is further than limit from want in relative L2.
func Near(t testing.TB, name string, got, want []float32, limit float64) {
	t.Helper()
	e := RelL2(got, want)
	if !(e <= limit) {
		t.Errorf("%s: relative error %.3g exceeds %.0e", name, e, limit)
		return
	}
	t.Logf("%s: relative error %.2g", name, e)
}
