package tensor

import (
	"bytes"
	"encoding/binary"
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

// TestFirstNotFinite looks for a value in all types that have such, near and far from the
// beginning.
func TestFirstNotFinite(t *testing.T) {
	const n = scanBytes/2 + 13
	for dt, bits := range map[DType][]uint64{
		F64:  {0x7ff0000000000000, 0xfff8000000000000, 0x7fe0000000000000 /* infinite as float32 */},
		F32:  {0x7f800000, 0xffc00000, 0x7f800001},
		F16:  {0x7c00, 0xfe00, 0x7c01},
		BF16: {0x7f80, 0xffc0, 0x7f81},
	} {
		x := Tensor{DType: dt, Shape: Shape{n}, Data: make([]byte, n*dt.Size())}
		for _, at := range []int{0, 1, 77, n / 2, n - 2, n - 1} {
			place := x.Data[at*dt.Size() : (at+1)*dt.Size()]
			for _, b := range bits {
				var all [8]byte
				binary.LittleEndian.PutUint64(all[:], b)
				copy(place, all[:])
				if got, v := x.FirstNotFinite(); got != at || finite(v) {
					t.Errorf("%v with %x at %d: %v at %d", dt, b, at, v, got)
				}
			}
			clear(place)
			place[len(place)-1] = 0x3f
			if got, _ := x.FirstNotFinite(); got != -1 {
				t.Errorf("%v: a number at %d is not finite", dt, got)
			}
		}
	}
	whole := Tensor{DType: U8, Shape: Shape{8}, Data: bytes.Repeat([]byte{255}, 8)}
	if got, _ := whole.FirstNotFinite(); got != -1 {
		t.Errorf("a whole number at %d is not finite", got)
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
