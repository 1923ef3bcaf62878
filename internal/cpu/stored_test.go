package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
	"pgregory.net/rapid"
)

// storedAs returns values that a type holds exactly, as a file might: at any place of memory.
func storedAs(v []float32, t tensor.DType, at int) (tensor.Tensor, []float32) {
	b, exact := make([]byte, at), slices.Clone(v)
	for i, x := range v {
		switch bits := math.Float32bits(x); t {
		case tensor.BF16:
			exact[i] = math.Float32frombits(bits &^ 0xffff)
			b = binary.LittleEndian.AppendUint16(b, uint16(bits>>16))
		case tensor.F16:
			// Small whole numbers and their halves are the same in both.
			h := uint16(i%7 + 10<<10)
			exact[i] = tensor.F16ToFloat32(h)
			b = binary.LittleEndian.AppendUint16(b, h)
		case tensor.F64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(x)))
		default:
			b = binary.LittleEndian.AppendUint32(b, bits)
		}
	}
	return tensor.Tensor{DType: t, Shape: tensor.Shape{len(v)}, Data: b[at:]}, exact
}

// TestStoredWeightsHaveTheBitsOfPackedOnes multiplies with weights in the types of files: packed as
// float32, packed as they are, and from the file.
func TestStoredWeightsHaveTheBitsOfPackedOnes(t *testing.T) {
	types := []tensor.DType{tensor.BF16, tensor.BF16, tensor.F32, tensor.F16, tensor.F64}
	underrace.Rounds(t, 3)
	eachSet(t, func(t *testing.T) {
		d := open(t, 2).(*Device)
		rapid.Check(t, func(t *rapid.T) {
			n, in := size(t, "n", 40), size(t, "in", 1200)
			if rapid.Bool().Draw(t, "aligned rows") {
				in = roundUp(in, 2*alias)
			}
			var parts []tensor.Tensor
			var w []float32
			out := 0
			for range rapid.IntRange(1, 3).Draw(t, "parts") {
				rows := size(t, "rows", 70)
				at := rapid.IntRange(0, 3).Draw(t, "at")
				p, exact := storedAs(draw(t, rows*in), rapid.SampledFrom(types).Draw(t, "type"), at)
				parts, w, out = append(parts, p), append(w, exact...), out+rows
			}
			bias, x := maybe(t, out), draw(t, n*in)
			lo := rapid.IntRange(0, out-1).Draw(t, "lo")
			dt := compute.DType(rapid.IntRange(0, 1).Draw(t, "dtype")) //nolint:gosec // 0 or 1

			multiply := func(l compute.Linear, err error) []float32 {
				if err != nil {
					t.Fatal(err)
				}
				l = l.Part(lo, out)
				xm := compute.Mat{Mem: &memory{len(x), x}, Rows: n, Cols: in, Stride: in}
				y := make([]float32, n*(out-lo))
				d.Linear(compute.Mat{Mem: &memory{len(y), y}, Rows: n, Cols: out - lo, Stride: out - lo},
					xm, l, compute.Epilogue{})
				return y
			}
			want := multiply(d.PackLinear(w, bias, out, in, dt))
			for name, got := range map[string][]float32{
				"packed":   multiply(d.PackStored(parts, bias, out, in, dt)),
				"in place": multiply(d.BindStored(parts, bias, out, in, dt)),
			} {
				for i, x := range want {
					if math.Float32bits(x) != math.Float32bits(got[i]) && (x == x || got[i] == got[i]) {
						t.Fatalf("%s: element %d is %g, want %g", name, i, got[i], x)
					}
				}
			}
		})
	})
}

// TestHalfTheMemory holds the account of a device to two bytes for a weight that is bfloat16 in its
// file, whatever the type of products, and to none for one that stays there.
func TestHalfTheMemory(t *testing.T) {
	const out, in = 64, 64
	w, _ := storedAs(make([]float32, out*in), tensor.BF16, 0)
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		d := open(t, 1).(*Device)
		if _, err := d.BindStored([]tensor.Tensor{w}, nil, out, in, dt); err != nil || d.used.Load() != 0 {
			t.Errorf("%v: %d bytes for a weight in its file (%v)", dt, d.used.Load(), err)
		}
		if _, err := d.PackStored([]tensor.Tensor{w}, nil, out, in, dt); err != nil {
			t.Fatal(err)
		}
		if used := d.used.Load(); used != 2*out*in {
			t.Errorf("%v: %d bytes, want %d", dt, used, 2*out*in)
		}
	}
}

func TestStoredWeightsAreChecked(t *testing.T) {
	d := open(t, 1).(*Device)
	for _, w := range []tensor.Tensor{
		{DType: tensor.I16, Shape: tensor.Shape{2, 3}, Data: make([]byte, 12)},
		{DType: tensor.BF16, Shape: tensor.Shape{2, 3}, Data: make([]byte, 11)},
		{DType: tensor.BF16, Shape: tensor.Shape{2, 2}, Data: make([]byte, 8)},
		{DType: tensor.BF16, Shape: tensor.Shape{3, 3}, Data: make([]byte, 18)},
	} {
		parts := []tensor.Tensor{w}
		if _, err := d.PackStored(parts, nil, 2, 3, compute.FP32); err == nil {
			t.Errorf("%v %v was packed as 2 x 3", w.DType, w.Shape)
		}
		if _, err := d.BindStored(parts, nil, 2, 3, compute.FP32); err == nil {
			t.Errorf("%v %v was bound as 2 x 3", w.DType, w.Shape)
		}
	}
}

// BenchmarkStored compares products in float32 by where a bfloat16 weight is: in panels of four
// bytes, in panels of two, and in its file. The forms take turns, and the least time of each counts;
// each multiplies with several weights, as a model does: a single one would be in cache.
func BenchmarkStored(b *testing.B) {
	const in, out, weights = 1536, 8960, 4
	v := make([]float32, in*out)
	for i := range v {
		v[i] = float32(i%251-125) / 64
	}
	w, _ := storedAs(v, tensor.BF16, 0)
	parts := []tensor.Tensor{w}

	d := open(b, 2).(*Device)
	forms := map[string][]compute.Linear{}
	for range weights {
		four, _ := d.PackLinear(v, nil, out, in, compute.FP32)
		two, _ := d.PackStored(parts, nil, out, in, compute.FP32)
		file, _ := d.BindStored(parts, nil, out, in, compute.FP32)
		forms["four"], forms["two"] = append(forms["four"], four), append(forms["two"], two)
		forms["file"] = append(forms["file"], file)
	}
	for _, rows := range []int{1, 20, 64, 512, 4320} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			x, y := filled(b, d, rows, in), filled(b, d, rows, out)
			least := map[string]time.Duration{}
			for b.Loop() {
				for name, all := range forms {
					start := time.Now()
					for _, l := range all {
						d.Linear(y, x, l, compute.Epilogue{})
					}
					if took := time.Since(start); least[name] == 0 || took < least[name] {
						least[name] = took
					}
				}
			}
			four := least["four"].Seconds()
			b.ReportMetric(2*weights*float64(rows)*in*out/four/1e9, "GFLOP/s")
			b.ReportMetric(least["two"].Seconds()/four, "two/four")
			b.ReportMetric(least["file"].Seconds()/four, "file/four")
		})
	}
}
