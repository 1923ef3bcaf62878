//go:build cuda

package cuda

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
	"pgregory.net/rapid"
)

// dense allocates [rows, cols].
func dense(t testing.TB, d compute.Device, rows, cols int) compute.Mat {
	t.Helper()
	mem, err := d.Alloc(rows * cols)
	if err != nil {
		t.Fatal(err)
	}
	return compute.NewMat(mem, rows, cols)
}

// onEmulator skips what only the emulated GPU shows.
func onEmulator(t *testing.T) {
	t.Helper()
	if d := openSlabs(t); !strings.Contains(d.Name(), "Emulated") {
		t.Skip("the GPU is a real one")
	}
}

func TestOpenRefuses(t *testing.T) {
	onEmulator(t)
	if _, err := Open(Options{Ordinal: 7}); err == nil || errors.Is(err, ErrNone) ||
		!strings.Contains(err.Error(), "cannot open GPU 7: there are 1") {
		t.Errorf("got %v", err)
	}
	t.Setenv("LONGTAKE_KERNELS", t.TempDir()+"/none")
	if _, err := Open(Options{}); err == nil || !strings.Contains(err.Error(), "LONGTAKE_KERNELS") {
		t.Errorf("kernels of a file that is not there: %v", err)
	}
}

func TestNameAndArithmetic(t *testing.T) {
	onEmulator(t)
	t.Setenv("EMU_GPU", "h100")
	d := openSlabs(t)
	if got := d.Name(); !strings.HasPrefix(got, "cuda: Emulated H100, sm_90, ") {
		t.Errorf("the name is %q", got)
	}
	if got := d.Arithmetic(); got != "cuda-"+d.generations[0].name || d.Threads() != 0 {
		t.Errorf("arithmetic %q, %d threads", got, d.Threads())
	}
}

func TestMismatchesPanic(t *testing.T) {
	d := open(t, 0)
	a, b, c := dense(t, d, 4, 6), dense(t, d, 4, 5), dense(t, d, 4, 6)
	w, err := d.PackLinear(make([]float32, 36), nil, 6, 6, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	gone := dense(t, d, 4, 6)
	d.Free(gone.Mem)
	late := compute.Mat{Mem: a.Mem, Off: 4, Rows: 4, Cols: 6, Stride: 6}
	gate := &compute.RowVec{M: a, Index: []int32{0, 1, 2, 4}}
	wide := dense(t, d, 1, 400)
	for want, f := range map[string]func(){
		"dst is 4 x 5, want 4 x 6":   func() { d.Linear(b, a, w, compute.Epilogue{}) },
		"dst overlaps x":             func() { d.Linear(a, a, w, compute.Epilogue{}) },
		"Residual is 4 x 5":          func() { d.Linear(c, a, w, compute.Epilogue{Residual: &b}) },
		"row 3 wants vector 4 of 4":  func() { d.Linear(c, a, w, compute.Epilogue{Gate: gate}) },
		"activation 9 is unknown":    func() { d.Activate(a, a, 9) },
		"used after it was freed":    func() { d.Copy(a, gone) },
		"Free: memory is used after": func() { d.Free(gone.Mem) },
		"3 values for 4 x 6":         func() { d.Upload(a, make([]float32, 3)) },
		"x ends at element 28 of 24": func() { d.Activate(a, late, 0) },
		"v is nil":                   func() { d.AddVector(a, a, nil) },
		"head dim 400; allowed": func() {
			d.Attention(dense(t, d, 1, 400), wide, wide, wide, compute.AttentionArgs{Heads: 1, Scale: 1})
		},
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

func TestEmptyMatricesAreFine(t *testing.T) {
	d := open(t, 0)
	w, err := d.PackLinear(make([]float32, 36), nil, 6, 6, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	none, k := dense(t, d, 0, 6), dense(t, d, 4, 6)
	d.Linear(none, dense(t, d, 0, 6), w, compute.Epilogue{Act: compute.SiLU})
	d.LayerNorm(none, none, compute.Norm{Eps: 1})
	d.Attention(none, dense(t, d, 0, 6), k, k, compute.AttentionArgs{Heads: 2, Scale: 1})
	d.Add(compute.Mat{Cols: 6}, none, none)
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// TestAStepAsksTheDriverForNothing runs each operation again and again.
func TestAStepAsksTheDriverForNothing(t *testing.T) { eachGeneration(t, sameSlabs) }

func sameSlabs(t *testing.T) {
	d := openSlabs(t)
	const n, w = 9, 24
	x, y, z := dense(t, d, n, w), dense(t, d, n, w), dense(t, d, n, w)
	l, err := d.PackLinear(make([]float32, w*w), nil, w, w, compute.BF16)
	if err != nil {
		t.Fatal(err)
	}
	index, low := make([]int32, n), make([]byte, 2*n*w)
	step := func() {
		gate := &compute.RowVec{M: z, Index: index}
		d.Linear(y, x, l, compute.Epilogue{Gate: gate, Residual: &y})
		d.LayerNorm(y, y, compute.Norm{Eps: 1, Scale: gate, Shift: gate})
		d.Attention(y, x, x, x, compute.AttentionArgs{Heads: 3, Scale: 1, DType: compute.BF16})
		m := dense(t, d, n, w)
		d.Copy(m, y)
		d.Free(m.Mem)
		d.UploadBF16(x, low)
		if err := d.DownloadBF16(low, y); err != nil {
			t.Fatal(err)
		}
	}
	step()
	slabs := len(d.memory.slabs)
	for range 5 {
		step()
	}
	if got := len(d.memory.slabs); got != slabs {
		t.Errorf("%d slabs, %d after the first step", got, slabs)
	}
}

// TestSlabs takes and gives pieces at random: they never overlap, and in the end everything is
// there.
func TestSlabs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &slab{base: 1 << 20, free: []span{{0, 1 << 16}}}
		var held []*memory
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			if len(held) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				s.give(span{int64(held[i].at - s.base), held[i].bytes})
				held = append(held[:i], held[i+1:]...)
				continue
			}
			m := s.take(alignment * int64(rapid.IntRange(1, 40).Draw(t, "units")))
			if m == nil {
				continue
			}
			for _, o := range held {
				if m.at < o.at+cu.DevicePtr(o.bytes) && o.at < m.at+cu.DevicePtr(m.bytes) {
					t.Fatalf("%v overlaps %v", m, o)
				}
			}
			held = append(held, m)
		}
		for _, m := range held {
			s.give(span{int64(m.at - s.base), m.bytes})
		}
		if len(s.free) != 1 || s.free[0] != (span{0, 1 << 16}) {
			t.Fatalf("what is left is %v", s.free)
		}
	})
}

// TestUploadsOfEverySize passes the edges of the staging slots, dense and in rows apart.
func TestUploadsOfEverySize(t *testing.T) {
	d := open(t, 0)
	const slot = slotBytes / 4
	for _, c := range []struct{ rows, cols, gap int }{
		{1, 1, 0}, {1, slot, 0}, {1, slot + 1, 0}, {3, slot/2 + 7, 0}, {3, slot/2 + 7, 5},
		{2, slot + 3, 1}, {700, 1000, 2},
	} {
		mem, err := d.Alloc(c.rows * (c.cols + c.gap))
		if err != nil {
			t.Fatal(err)
		}
		m := compute.Mat{Mem: mem, Rows: c.rows, Cols: c.cols, Stride: c.cols + c.gap}
		v, got := make([]float32, c.rows*c.cols), make([]float32, c.rows*c.cols)
		for i := range v {
			v[i] = rand.Float32()
		}
		want := append([]float32(nil), v...)
		d.Upload(m, v)
		clear(v) // the device has taken what it needs
		if err := d.Download(got, m); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%+v: element %d is %g, want %g", c, i, got[i], want[i])
			}
		}
		d.Free(mem)
	}
}

// TestReserve sets memory aside: what is then allocated asks the driver for nothing, slabs that
// nobody uses make room, and too much is refused with the figures.
func TestReserve(t *testing.T) {
	onEmulator(t)
	t.Setenv("EMU_MEMORY_MB", "64")
	d := openSlabs(t)
	for _, mb := range []int64{20, 40, 30} { // 20 and 40 do not fit together with the rest
		if err := d.Reserve(mb << 20); err != nil {
			t.Fatal(err)
		}
		slabs := len(d.memory.slabs)
		var held []compute.Memory
		for range mb {
			m, err := d.Alloc(1 << 18) // 1 MiB
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, m)
		}
		if got := len(d.memory.slabs); got != slabs {
			t.Errorf("%d MiB reserved, and %d slabs became %d", mb, slabs, got)
		}
		for _, m := range held {
			d.Free(m)
		}
	}
	err := d.Reserve(65 << 20)
	if !errors.Is(err, compute.ErrMemory) || !strings.Contains(err.Error(), "68157440 bytes in one") {
		t.Errorf("got %v", err)
	}
	if err := d.Reserve(1 << 20); err != nil {
		t.Errorf("a refusal spoils the device: %v", err)
	}
}

func TestMemoryRunsOut(t *testing.T) {
	onEmulator(t)
	t.Setenv("EMU_MEMORY_MB", "8")
	d, err := Open(Options{SlabBytes: 1 << 20, CopyBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Alloc(16 << 20); err == nil ||
		!strings.Contains(err.Error(), "cannot allocate 67108864 bytes on the GPU") {
		t.Errorf("got %v", err)
	}
	if _, err := d.Alloc(1 << 18); err != nil {
		t.Errorf("afterwards there is no memory: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestAWildAddressIsAnError launches a kernel on memory that is not there: the error sticks, and
// what is left then is reported.
func TestAWildAddressIsAnError(t *testing.T) {
	onEmulator(t)
	opened, err := Open(Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*Device)
	m := viewOf("test", "m", dense(t, d, 2, 3))
	from := m
	from.stride = 1 << 20
	d.launch(copyRows, 1, 1, copyParams(m, from)...)
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "LaunchFailed") {
		t.Errorf("Sync: %v", err)
	}
	if _, err := d.Alloc(1); err == nil {
		t.Error("memory was allocated after a failure")
	}
	if err := d.Close(); err == nil {
		t.Error("the failure is gone at Close")
	}
}

func TestALeakIsReported(t *testing.T) {
	onEmulator(t)
	opened, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*Device)
	d.enter("test")
	if _, err := cu.MemAlloc(100); err != nil {
		t.Fatal(err)
	}
	d.leave()
	if err := d.Close(); err == nil {
		t.Error("100 bytes were left and nobody says so")
	}
}

func TestCloseTwiceAndUseAfter(t *testing.T) {
	d, err := Open(Options{})
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
