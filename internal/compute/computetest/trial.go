package computetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// trial is one drawn case of an operation with a [rows, cols] result. Its inputs are slices that
// run uploads again each time, so that they can be changed between runs. Draw functions make one,
// rowwise and notFinite run it, several times each.
type trial struct {
	rows, cols int
	// run computes rows [lo, hi) on a device and returns them, dense. It fails the test when the
	// operation has written anything else.
	run func(t fataler, dev compute.Device, lo, hi int) []float32
	// want is the reference's result.
	want []float64
	// tol is the tolerance where that is more than the device's.
	tol float64
	// poison spoils row i of the input, nil when the operation has no such row.
	poison func(i int)
	// inputs are what a value that is not finite may come from; they are for notFinite alone.
	inputs []input
}

// fataler is what checks need of *testing.T and *rapid.T: shrinking works only if a failure is
// reported to the latter.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// numbers draws reproducible values.
type numbers struct{ *rand.Rand }

// drawNumbers draws a source of values. Only its seed is drawn: shrinking values one by one would
// take for ever and show nothing.
func drawNumbers(t *rapid.T) numbers {
	return numbersFrom(rapid.Uint64().Draw(t, "seed"))
}

// numbersFrom returns the source of a seed.
func numbersFrom(seed uint64) numbers { return numbers{rand.New(rand.NewPCG(seed, 1))} }

// normal returns n values of the normal distribution times scale.
func (r numbers) normal(n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * scale)
	}
	return v
}

// tails are sizes at and around the tiles that devices use: vectors of 8 to 32, blocks of 64 to
// 256, and blocks of k of 512. That is where an index is off by one, if anywhere.
var tails = []int{1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129, 257, 511, 513, 1025}

// drawSize draws a size up to most, half of the time one of tails. Sizes shrink to the smallest
// that still fails.
func drawSize(t *rapid.T, name string, most int) int {
	var all []int
	for _, n := range tails {
		if n <= most {
			all = append(all, n)
		}
	}
	return rapid.OneOf(rapid.SampledFrom(all), rapid.IntRange(1, most)).Draw(t, name)
}

// spoil fills row i of a [_, cols] matrix with infinities of both signs and NaN. Both kinds are
// needed: a maximum passes over NaN on some hardware, a product with zero turns an infinity into
// NaN.
func spoil(x []float32, i, cols int) {
	for j := range cols {
		x[i*cols+j] = float32(math.Inf(1 - 2*(j%2)))
	}
	x[i*cols] = float32(math.NaN())
}

// drawDType draws a type of products.
func drawDType(t *rapid.T) compute.DType {
	return rapid.SampledFrom([]compute.DType{compute.FP32, compute.BF16}).Draw(t, "dtype")
}

// rounded returns x as products of a type see it: rounded to nearest, ties to even, in bfloat16. x
// must be finite.
func rounded(x float32, t compute.DType) float64 {
	if t == compute.BF16 {
		bits := math.Float32bits(x)
		x = math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
	}
	return float64(x)
}

// sentinel fills the elements around a matrix; no operation may touch them. Its value is none that
// an operation could compute by chance.
const sentinel = float32(-12345.5)

// rig places matrices on a device for one run of an operation, and takes the result back. off and
// gap are the layout: elements before the first, and elements between rows.
type rig struct {
	t        fataler
	dev      compute.Device
	off, gap int
	mems     []compute.Memory // to be freed by take
}

// place uploads values [rows, cols] into new memory, whose other elements are sentinels. An
// operation that writes past a row of its result, or before it, changes a sentinel, which take
// finds.
func (r *rig) place(v []float32, rows, cols int) compute.Mat {
	r.t.Helper()
	stride := cols + r.gap
	n := r.off + rows*stride
	mem, err := r.dev.Alloc(n)
	if err != nil {
		r.t.Fatalf("cannot allocate %d elements: %v", n, err)
	}
	r.mems = append(r.mems, mem)

	around := make([]float32, n)
	for i := range around {
		around[i] = sentinel
	}
	r.dev.Upload(compute.NewMat(mem, 1, n), around)
	m := compute.Mat{Mem: mem, Off: r.off, Rows: rows, Cols: cols, Stride: stride}
	r.dev.Upload(m, v)
	return m
}

// fresh is place for a result. It is filled with NaN, so that an element that the operation leaves
// out, or reads, shows.
func (r *rig) fresh(rows, cols int) compute.Mat {
	v := make([]float32, rows*cols)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return r.place(v, rows, cols)
}

// take returns rows [lo, hi) of a placed matrix after checking that nothing around it changed, and
// frees everything that was placed. A rig serves one result, so nothing may be placed after it.
func (r *rig) take(m compute.Mat, lo, hi int) []float32 {
	r.t.Helper()

	// Every element that is not the result's must still be a sentinel.
	all := make([]float32, m.Mem.Len())
	r.download(all, compute.NewMat(m.Mem, 1, len(all)))
	for i, v := range all {
		at := i - m.Off
		if (at < 0 || at%m.Stride >= m.Cols) && v != sentinel {
			r.t.Fatalf("element %d outside the result changed to %g", i, v)
		}
	}

	out := make([]float32, (hi-lo)*m.Cols)
	r.download(out, m.RowRange(lo, hi))
	for _, mem := range r.mems {
		r.dev.Free(mem)
	}
	return out
}

// download reads a matrix, or fails the test.
func (r *rig) download(dst []float32, m compute.Mat) {
	r.t.Helper()
	if err := r.dev.Download(dst, m); err != nil {
		r.t.Fatalf("cannot download: %v", err)
	}
}

// vector prepares parameters, nil for nil. Devices free vectors by themselves. They are not placed
// like matrices, since a device may keep them in a form of its own.
func (r *rig) vector(v []float32) compute.Vector {
	r.t.Helper()
	if v == nil {
		return nil
	}
	p, err := r.dev.Vector(v)
	if err != nil {
		r.t.Fatalf("cannot prepare a vector: %v", err)
	}
	return p
}

// placing is the layout of a trial's matrices, see rig. It is drawn once and used by every run, so
// that runs differ in nothing but what a check is about. A device that assumes dense or aligned
// rows fails on most of them.
type placing struct{ off, gap int }

// drawPlacing draws a layout, from dense and aligned to neither.
func drawPlacing(t *rapid.T) placing {
	return placing{rapid.IntRange(0, 5).Draw(t, "off"), rapid.IntRange(0, 9).Draw(t, "gap")}
}

// on returns a rig with the layout.
func (p placing) on(t fataler, dev compute.Device) *rig {
	return &rig{t: t, dev: dev, off: p.off, gap: p.gap}
}

// close fails when an element of got is further from want than tol·(1+|want|): tol is relative for
// large values and absolute for small ones. NaN is close to nothing; equal infinities are close.
// One number can thus serve all operations.
func close(t fataler, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d values, want %d", len(got), len(want))
	}
	for i, w := range want {
		if g := float64(got[i]); g != w && !(math.Abs(g-w) <= tol*(1+math.Abs(w))) {
			t.Fatalf("element %d is %g, want %g (error %.3g, tolerance %.3g)",
				i, g, w, math.Abs(g-w), tol)
		}
	}
}

// same fails when two results differ in a bit, the sign of a zero included. format says what they
// are results of. Comparing bits makes equal NaNs equal, which a comparison of floats would not.
func same(t fataler, got, want []float32, format string, args ...any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d values, want %d", fmt.Sprintf(format, args...), len(got), len(want))
	}
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) {
			t.Fatalf("%s: element %d is %g (%08x), want %g (%08x)", fmt.Sprintf(format, args...),
				i, got[i], math.Float32bits(got[i]), w, math.Float32bits(w))
		}
	}
}
