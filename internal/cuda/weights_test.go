//go:build cuda

package cuda

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// TestWeightsGoBack packs a weight again and again; the collector gives the memory of those that
// nobody refers to back.
func TestWeightsGoBack(t *testing.T) {
	d := openSlabs(t)
	pack := func() {
		if _, err := d.PackLinear(make([]float32, 1<<16), nil, 256, 256, compute.FP32); err != nil {
			t.Fatal(err)
		}
	}
	pack()
	for pending := 0; pending == 0; runtime.Gosched() {
		runtime.GC()
		d.memory.mu.Lock()
		pending = len(d.memory.pending)
		d.memory.mu.Unlock()
	}
	pack()
	if got := len(d.memory.slabs); got != 1 {
		t.Errorf("two weights of which one is gone take %d slabs", got)
	}
}

// TestStoredWeights packs what a file holds, in pieces of more than one slot and at odd addresses,
// and wants the bits of weights that went through the host.
func TestStoredWeights(t *testing.T) {
	d := openSlabs(t)
	const out, in = 3, slotBytes/8 + 5 // a row of float32 fits a slot, all of them do not
	bias := normal(out)
	x, y := dense(t, d, 2, in), dense(t, d, 2, out)
	d.Upload(x, normal(2*in))
	product := func(l compute.Linear, err error) []float32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, 2*out)
		d.Linear(y, x, l, compute.Epilogue{})
		if err := d.Download(v, y); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, stored := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16} {
		file := make([]byte, 1+out*in*stored.Size())[1:]
		for i := range file {
			file[i] = byte(i*i%251) & 0x3f // small numbers in every type
		}
		whole := tensor.Tensor{DType: stored, Shape: tensor.Shape{out, in}, Data: file}
		cut := in * stored.Size()
		parts := []tensor.Tensor{{DType: stored, Shape: tensor.Shape{1, in}, Data: file[:cut]},
			{DType: stored, Shape: tensor.Shape{2, in}, Data: file[cut:]}}
		w, err := whole.Float32()
		if err != nil {
			t.Fatal(err)
		}
		for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
			want := product(d.PackLinear(w, bias, out, in, dt))
			got := product(d.PackStored(parts, bias, out, in, dt))
			if !slices.Equal(got, want) {
				t.Errorf("%v as %v: %v, want %v", stored, dt, got, want)
			}
		}
	}
	_, err := d.PackStored([]tensor.Tensor{{DType: tensor.I64, Shape: tensor.Shape{1, 1},
		Data: make([]byte, 8)}}, nil, 1, 1, compute.BF16)
	if err == nil || !strings.Contains(err.Error(), "I64") {
		t.Errorf("whole numbers as a weight: %v", err)
	}
}

// TestStoredWeightsTakeNoHostMemory: nothing of a weight's size is made on the host.
func TestStoredWeightsTakeNoHostMemory(t *testing.T) {
	d := openSlabs(t)
	const out, in = 1024, 1024
	w := []tensor.Tensor{tensor.FromFloat32(make([]float32, out*in), out, in)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := d.PackStored(w, nil, out, in, compute.BF16); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
		t.Errorf("%d bytes were allocated for a weight of %d", got, 4*out*in)
	}
}
