// Package golden reads results of the reference implementation, diffusers, and measures how far
// ours are from them. The files are safetensors in testdata/golden; tools/goldens.py makes them.
// Only tests import this package.
package golden

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Root joins elem to the path of the repository's root, so that a test finds files from whichever
// package it runs in.
func Root(elem ...string) string {
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if !filepath.IsAbs(root) {
		root = rootFrom // a program that was built with -trimpath does not know where it was built
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// rootFrom is the nearest folder above that of this process's start with a go.mod; tests start in
// the folder of their package.
var rootFrom = func() string {
	at, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			break
		}
	}
	return at
}()

// File is one golden file. Its methods end the test when what they are asked for is not in it.
type File struct {
	t testing.TB // whose end closes the file
	f *safetensors.File
}

// Open opens testdata/golden/name.safetensors for the rest of the test.
func Open(t testing.TB, name string) *File {
	t.Helper()
	f, err := safetensors.Open(Root("testdata", "golden", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &File{t, f}
}

// Tensor returns a tensor by name. Its data lie in the mapped file: they must not be changed, nor
// used after the test.
func (g *File) Tensor(name string) tensor.Tensor {
	g.t.Helper()
	x, err := g.f.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	return x
}

// Floats returns the values of a floating-point tensor, row by row, as float32.
func (g *File) Floats(name string) []float32 {
	g.t.Helper()
	v, err := g.Tensor(name).Float32()
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// Ints returns the values of an I64 tensor, such as token ids, row by row.
func (g *File) Ints(name string) []int64 {
	g.t.Helper()
	x := g.Tensor(name)
	if x.DType != tensor.I64 {
		g.t.Fatalf("%s is %v, not I64", name, x.DType)
	}

	out := make([]int64, len(x.Data)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(x.Data[8*i:])) //nolint:gosec // two's complement
	}
	return out
}

// Names lists the tensors in alphabetical order.
func (g *File) Names() []string { return g.f.Names() }

// Has reports whether the metadata has a key.
func (g *File) Has(key string) bool {
	_, ok := g.f.Metadata()[key]
	return ok
}

// Meta decodes the metadata value of key, which is JSON text, into v.
func (g *File) Meta(key string, v any) {
	g.t.Helper()
	if err := json.Unmarshal([]byte(g.f.Metadata()[key]), v); err != nil {
		g.t.Fatalf("metadata %s: %v", key, err)
	}
}

// Formula returns n values in -1..1 that tools/vae.py computes to the same bits: a hash of each
// index, so that goldens need not store what they were made from.
func Formula(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		// Of the lower 32 bits of the product the upper 24, which float32 has exactly.
		hash := uint32(i) * 2654435761 >> 8 //nolint:gosec // indices are below 1<<32
		out[i] = float32(hash)/(1<<23) - 1
	}
	return out
}

// RelL2 returns the relative error |got-want|₂ / |want|₂, summed in float64. It is +Inf where the
// lengths differ or a value is NaN, and absolute where want is zero.
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

// PSNR returns the peak signal-to-noise ratio of 8-bit images in dB, +Inf where they are equal and
// 0 where their lengths differ.
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

// Near fails the test if the relative error of got (RelL2) is above limit; name is what the values
// are. It logs the error otherwise, so that limits can be set from what is measured.
func Near(t testing.TB, name string, got, want []float32, limit float64) {
	t.Helper()

	e := RelL2(got, want)
	if !(e <= limit) { // a NaN is above every limit
		t.Errorf("%s: relative error %.3g exceeds %.0e", name, e, limit)
		return
	}
	t.Logf("%s: relative error %.2g", name, e)
}
