package cpu

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		env  string
		want string
	}{
		{"negative threads", Options{Threads: -1}, "", "threads is -1"},
		{"too many threads", Options{Threads: 5000}, "", "allowed are 0 to 1024"},
		{"negative memory", Options{MemoryBytes: -5}, "", "memory limit is -5 bytes"},
		{"unknown kernels", Options{}, "avx9", `LONGTAKE_CPU is "avx9"; allowed: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("LONGTAKE_CPU", c.env)
			if _, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	t.Setenv("LONGTAKE_CPU", "generic")
	for threads, want := range map[int]string{
		1: "cpu: 1 thread, generic",
		2: "cpu: 2 threads, generic",
	} {
		if got := open(t, threads).Name(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	d, err := Open(Options{Threads: 1, MemoryBytes: 400})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := d.Alloc(60)
	if err != nil {
		t.Fatal(err)
	}
	want := "cannot allocate 200 bytes on the cpu: out of memory: 240 of 400 bytes are in use"
	if _, err := d.Alloc(50); !errors.Is(err, compute.ErrMemory) || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := d.PackLinear(make([]float32, 100), nil, 10, 10, compute.FP32); err == nil {
		t.Error("a weight beyond the limit was packed")
	}
	if _, err := d.Vector(make([]float32, 50)); err == nil {
		t.Error("a vector beyond the limit was taken")
	}
	d.Free(a)
	if _, err := d.Alloc(100); err != nil {
		t.Errorf("freed memory is still in use: %v", err)
	}
	for _, n := range []int{-1, math.MaxInt} {
		if _, err := d.Alloc(n); err == nil {
			t.Errorf("%d elements were allocated", n)
		}
	}
}

func TestWeightsInBfloat16TakeTwoBytes(t *testing.T) {
	eachSet(t, func(t *testing.T) {
		const out, in = 32, 64
		d, err := Open(Options{Threads: 1, MemoryBytes: 2 * out * in})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		w := make([]float32, out*in)
		if _, err := d.PackLinear(w, nil, out, in, compute.FP32); !errors.Is(err, compute.ErrMemory) {
			t.Errorf("in float32: %v", err)
		}
		l, err := d.PackLinear(w, nil, out, in, compute.BF16)
		if err != nil {
			t.Fatal(err)
		}
		p := l.(*linear).panels
		if held := 4*cap(p.data) + 2*cap(p.halves); held > 2*out*in+64 {
			t.Errorf("%d bytes are held, want %d", held, 2*out*in)
		}
	})
}

func TestPackRefuses(t *testing.T) {
	d := open(t, 1)
	w := make([]float32, 12)
	for _, c := range []struct {
		name    string
		w, bias []float32
		out, in int
	}{
		{"no weight", nil, nil, 3, 4},
		{"short weight", w, nil, 4, 4},
		{"wrong bias", w, w, 3, 4},
		{"no rows", nil, nil, 0, 4},
	} {
		if _, err := d.PackLinear(c.w, c.bias, c.out, c.in, compute.FP32); err == nil {
			t.Errorf("%s: packed as a linear weight", c.name)
		}
		s := compute.ConvShape{Out: c.out, In: c.in, KT: 1, KH: 1, KW: 1}
		if _, err := d.PackConv(c.w, c.bias, s); err == nil {
			t.Errorf("%s: packed as a convolution", c.name)
		}
	}
	huge := compute.ConvShape{Out: 1 << 40, In: 1 << 40, KT: 1, KH: 1, KW: 1}
	if _, err := d.PackConv(w, nil, huge); err == nil {
		t.Error("a shape that overflows was packed")
	}
}

// dense allocates [rows, cols].
func dense(t *testing.T, d compute.Device, rows, cols int) compute.Mat {
	t.Helper()
	mem, err := d.Alloc(rows * cols)
	if err != nil {
		t.Fatal(err)
	}
	return compute.NewMat(mem, rows, cols)
}

func TestMismatchesPanic(t *testing.T) {
	d := open(t, 2)
	a, b, c := dense(t, d, 4, 6), dense(t, d, 4, 5), dense(t, d, 4, 6)
	w, err := d.PackLinear(make([]float32, 36), nil, 6, 6, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	gone := dense(t, d, 4, 6)
	d.Free(gone.Mem)
	heads := compute.AttentionArgs{Heads: 4, Scale: 1}
	late := compute.Mat{Mem: a.Mem, Off: 4, Rows: 4, Cols: 6, Stride: 6}
	added, rope := compute.Epilogue{Residual: &b}, &compute.Rope{HeadDim: 4}
	biased := compute.Norm{Bias: vector{1, 2, 3, 4, 5, 6}}
	gate := &compute.RowVec{M: a, Index: []int32{0, 1, 2, 4}}
	for want, f := range map[string]func(){
		"dst is 4 x 5, want 4 x 6":     func() { d.Linear(b, a, w, compute.Epilogue{}) },
		"x is 4 x 5, want 4 x 6":       func() { d.Linear(a, b, w, compute.Epilogue{}) },
		"dst overlaps x":               func() { d.Linear(a, a, w, compute.Epilogue{}) },
		"Residual is 4 x 5":            func() { d.Linear(c, a, w, added) },
		"row 3 wants vector 4 of 4":    func() { d.Linear(c, a, w, compute.Epilogue{Gate: gate}) },
		"activation 9 is unknown":      func() { d.Activate(a, a, 9) },
		"4 heads over width 6":         func() { d.Attention(c, a, a, a, heads) },
		"used after it was freed":      func() { d.Copy(a, gone) },
		"Free: memory is used after":   func() { d.Free(gone.Mem) },
		"b is 4 x 5, want 4 x 6":       func() { d.Add(a, a, b) },
		"3 values for 4 x 6":           func() { d.Upload(a, make([]float32, 3)) },
		"is not of the cpu device":     func() { d.Free(other{}) },
		"Copy: dst overlaps src":       func() { d.Copy(a.RowRange(0, 2), a.RowRange(1, 3)) },
		"rope's head dim 4":            func() { d.RMSNorm(a, a, nil, 0, rope) },
		"x ends at element 28 of 24":   func() { d.Activate(a, late, 0) },
		"weight is a <nil>, not of":    func() { d.Linear(a, a, nil, compute.Epilogue{}) },
		"Bias without Gain":            func() { d.LayerNorm(a, a, biased) },
		"gain has 2 elements, want 6":  func() { d.ChannelNorm(a, a, vector{1, 2}, 0) },
		"not a vector of the cpu":      func() { d.AddVector(a, a, other{}) },
		"dst is 1 x 2 x 2, want 2 x 2": func() { badConv(t, d) },
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, want) {
					t.Errorf("panic is %q, want %q", got, want)
				}
			}()
			f()
		})
	}
}

// other is memory and a vector of some other device.
type other struct{}

func (other) Len() int { return 6 }

func badConv(t *testing.T, d compute.Device) {
	s := compute.ConvShape{Out: 1, In: 1, KT: 1, KH: 3, KW: 3}
	w, err := d.PackConv(make([]float32, 9), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	x := compute.Volume{Mat: dense(t, d, 8, 1), T: 2, H: 2, W: 2}
	d.Conv(compute.Volume{Mat: dense(t, d, 4, 1), T: 1, H: 2, W: 2}, x, w, compute.ConvArgs{})
}

func TestCloseTwiceAndUseAfter(t *testing.T) {
	d, err := New(3)
	if err != nil {
		t.Fatal(err)
	}
	a := dense(t, d, 4, 6)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, "after Close") {
			t.Errorf("panic is %q", got)
		}
	}()
	d.Add(a, a, a)
}

func TestEmptyMatricesAreFine(t *testing.T) {
	d := open(t, 2)
	w, err := d.PackLinear(make([]float32, 36), nil, 6, 6, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	none, k := dense(t, d, 0, 6), dense(t, d, 4, 6)
	d.Linear(none, dense(t, d, 0, 6), w, compute.Epilogue{Act: compute.SiLU})
	d.LayerNorm(none, none, compute.Norm{Eps: 1})
	d.Attention(none, dense(t, d, 0, 6), k, k, compute.AttentionArgs{Heads: 2, Scale: 1})
	d.Add(compute.Mat{Cols: 6}, none, none)
}

func TestAttentionInGroupsOfHeads(t *testing.T) {
	d := open(t, 2)
	const heads, hd, n = 3, 128, 40000 // a head packs more than packMost, so they run in turn
	if 2*n*hd < packMost {
		t.Fatal("the case is too small to split")
	}
	q, k, v := dense(t, d, 2, heads*hd), dense(t, d, n, heads*hd), dense(t, d, n, heads*hd)
	x := d.(compute.HostMemory).Floats(v.Mem)
	for i := range x {
		x[i] = float32(1 + i%(heads*hd)/hd)
	}
	dst := dense(t, d, 2, heads*hd)
	d.Attention(dst, q, k, v, compute.AttentionArgs{Heads: heads, Scale: 1})
	for i, y := range d.(compute.HostMemory).Floats(dst.Mem) {
		if want := float32(1 + i%(heads*hd)/hd); y != want {
			t.Fatalf("element %d is %g, want %g", i, y, want)
		}
	}
}

// TestSteadyStateAllocatesNothing runs each operation of a step again and again.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	d := open(t, 2)
	const n, w = 70, 48
	x, y, z := dense(t, d, n, w), dense(t, d, n, w), dense(t, d, n, w)
	clip := compute.Volume{Mat: dense(t, d, n, 16), T: 1, H: 7, W: 10}
	grown := compute.Volume{Mat: dense(t, d, n, 16), T: 1, H: 7, W: 10}
	conv, err := d.PackConv(make([]float32, 16*16*9), nil, compute.ConvShape{Out: 16, In: 16, KT: 1,
		KH: 3, KW: 3})
	if err != nil {
		t.Fatal(err)
	}
	gate := &compute.RowVec{M: z.RowRange(0, 1)}
	rope := &compute.Rope{HeadDim: w, Cos: z.ColRange(0, w/2), Sin: z.ColRange(0, w/2)}
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		l, err := d.PackLinear(make([]float32, w*w), make([]float32, w), w, w, dt)
		if err != nil {
			t.Fatal(err)
		}
		if allocated := testing.AllocsPerRun(20, func() {
			d.Linear(y, x, l, compute.Epilogue{Act: compute.GELUTanh, Gate: gate, Residual: &y})
			d.LayerNorm(y, y, compute.Norm{Eps: 1, Scale: gate, Shift: gate})
			d.RMSNorm(y, y, nil, 1, rope)
			d.Attention(y, x, x, x, compute.AttentionArgs{Heads: 3, Scale: 1, LastKeyBias: 2, DType: dt})
			d.Conv(grown, clip, conv, compute.ConvArgs{})
			d.ChannelNorm(y, y, nil, compute.SiLU)
			d.Activate(y, y, compute.SiLU)
			d.Copy(y, x)
		}); allocated > 0 {
			t.Errorf("%s: %g allocations", dt, allocated)
		}
	}
}
