package tensor

import (
	"errors"
	"math"
	"testing"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// TestFinite puts a value at every place of slices that begin and end anywhere.
func TestFinite(t *testing.T) {
	good := []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32, 1}
	signalling := math.Float32frombits(0x7f800001)
	bad := []float32{nan, -nan, inf, -inf, signalling, math.Float32frombits(0xffffffff)}
	room := make([]float32, 64)
	for lo := range 3 {
		for n := range 40 {
			v := room[lo : lo+n]
			if !Finite(v) {
				t.Fatalf("%d values from %d on are not finite", n, lo)
			}
			for i := range v {
				for _, x := range good {
					if v[i] = x; !Finite(v) {
						t.Fatalf("%v at %d of %d is not finite", x, i, n)
					}
				}
				for _, x := range bad {
					if v[i] = x; Finite(v) {
						t.Fatalf("%v at %d of %d is finite", x, i, n)
					}
				}
				v[i] = 0
			}
		}
	}
}

func TestCheckFiniteNamesTheFirst(t *testing.T) {
	if err := CheckFinite("it", []float32{1, 2}); err != nil {
		t.Error(err)
	}
	err := CheckFinite("it", []float32{1, -inf, 2, nan})
	var e *NotFiniteError
	if !errors.As(err, &e) || e.At != 1 || e.Count != 2 || e.Of != 4 || e.Value != -inf {
		t.Errorf("%+v", err)
	}
}

// BenchmarkFinite reads a rank's velocities of a small clip.
func BenchmarkFinite(b *testing.B) {
	v := make([]float32, 4320*64)
	b.SetBytes(int64(4 * len(v)))
	for b.Loop() {
		if !Finite(v) {
			b.Fatal("zeros are not finite")
		}
	}
}
