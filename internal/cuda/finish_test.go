//go:build cuda

package cuda

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

func TestFinishing(t *testing.T) {
	m := &compute.Mat{}
	gate := &compute.RowVec{}
	for _, c := range []struct {
		ep   compute.Epilogue
		want string
	}{
		{compute.Epilogue{}, "linear_v3_plain"},
		{compute.Epilogue{Act: compute.GELUTanh}, "linear_v3_active"},
		{compute.Epilogue{Act: compute.SiLU}, "linear_v3"},
		{compute.Epilogue{Act: compute.GELUTanh, Mul: m}, "linear_v3"},
		{compute.Epilogue{Act: compute.GELUTanh, Residual: m}, "linear_v3"},
		{compute.Epilogue{Gate: gate}, "linear_v3"},
		{compute.Epilogue{Residual: m}, "linear_v3_residual"},
		{compute.Epilogue{Gate: gate, Residual: m}, "linear_v3_gated"},
		{compute.Epilogue{Gate: gate, Residual: m, Mul: m}, "linear_v3"},
	} {
		if got := kernels[finishing(linearV3, c.ep)].name; got != c.want {
			t.Errorf("%+v: %s, want %s", c.ep, got, c.want)
		}
		v2 := strings.Replace(c.want, "v3", "v2", 1)
		if got := kernels[finishing(linearV2, c.ep)].name; got != v2 {
			t.Errorf("%+v: %s, want %s", c.ep, got, v2)
		}
	}
}

// TestKindsOfEpiloguesAgree computes each kind of epilogue twice: as it is, and with a factor of
// ones, which is work for the kernel that does everything. The bits are the same, whether operands
// lie at addresses of pairs or not, in whole tiles and in those at the edges.
func TestKindsOfEpiloguesAgree(t *testing.T) { eachGeneration(t, kindsAgree) }

func kindsAgree(t *testing.T) {
	const n, in, out = 21, 24, 522 // a whole tile behind one that begins within a group
	d := open(t, 0)
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	w, err := d.PackLinear(normal(in*out), normal(out), out, in, compute.BF16)
	if err != nil {
		t.Fatal(err)
	}

	x := filled(t, d, n, in, in, normal(n*in))
	residual, gates, ones := normal(n*out), normal(3*out), make([]float32, n*out)
	for i := range ones {
		ones[i] = 1
	}
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(r.IntN(3))
	}

	for name, at := range map[string]struct{ stride, lo int }{
		"pairs": {out, 0}, "odd rows": {out + 1, 0}, "odd columns": {out + 2, 1}, "a part": {out, 6},
	} {
		cols := out - at.lo
		place := func(v []float32, rows int) compute.Mat {
			return filled(t, d, rows, out, at.stride, v).ColRange(at.lo, out)
		}
		factor, gate := place(ones, n), &compute.RowVec{M: place(gates, 3), Index: index}
		for _, ep := range []compute.Epilogue{
			{}, {Act: compute.GELUTanh}, {Residual: &factor}, {Gate: gate, Residual: &factor},
		} {
			run := func(mul *compute.Mat) []float32 {
				dst, e := place(residual, n), ep // in place
				if e.Mul = mul; e.Residual != nil {
					e.Residual = &dst
				}
				d.Linear(dst, x, w.Part(at.lo, out), e)
				got := make([]float32, n*cols)
				if err := d.Download(got, dst); err != nil {
					t.Fatal(err)
				}
				return got
			}
			special, general := run(nil), run(&factor)
			for i := range special {
				if math.Float32bits(special[i]) != math.Float32bits(general[i]) {
					t.Fatalf("%s, %+v: element (%d, %d) is %g, and %g in general", name, ep,
						i/cols, i%cols, special[i], general[i])
				}
			}
		}
	}
}

// filled allocates [rows, cols] with rows so far apart.
func filled(t *testing.T, d compute.Device, rows, cols, stride int, v []float32) compute.Mat {
	t.Helper()
	mem, err := d.Alloc(rows * stride)
	if err != nil {
		t.Fatal(err)
	}
	m := compute.Mat{Mem: mem, Rows: rows, Cols: cols, Stride: stride}
	d.Upload(m, v)
	return m
}
