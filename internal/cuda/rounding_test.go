//go:build cuda

package cuda

import (
	"cmp"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

// TestTensorCoresTruncate sums 1 and small products, which tells the adders of GPUs apart: how many
// bits of a term they keep, and that they cut off what is below instead of rounding.
func TestTensorCoresTruncate(t *testing.T) {
	onEmulator(t)
	if os.Getenv("EMU_ROUNDING") == "nearest" {
		t.Skip("EMU_ROUNDING is nearest")
	}
	// A process has one kind of GPU.
	gpu := cmp.Or(os.Getenv("EMU_GPU"), "h100")
	if self, err := os.Executable(); err != nil {
		t.Fatal(err)
	} else if gpu == "h100" {
		if out, err := rerun(self, "^TestTensorCoresTruncate$", "EMU_GPU=a100"); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
	}
	for _, c := range []struct {
		gpu, generation string
		small           int     // the products after the first are 2^small
		count           int     // how many there are
		sign            float32 // of them
		want            float64
	}{
		{"h100", "v3", -25, 8, 1, 1 + 0x1p-22}, // one by one, each would be rounded away
		{"h100", "v3", -25, 7, 1, 1 + 0x1p-23}, // the last bits of the sum are cut off
		{"h100", "v3", -26, 15, 1, 1},          // and here those of each term
		{"h100", "v3", -26, 15, -1, 1},
		{"h100", "v3", -25, 1, -1, 1 - 0x1p-24},
		{"h100", "v2", -25, 8, 1, 1 + 0x1p-22},
		{"a100", "v2", -25, 8, 1, 1}, // a bit less
		{"a100", "v2", -24, 6, 1, 1 + 0x1p-22 + 0x1p-23},
		{"a100", "v2", -24, 15, 1, 1 + 0x1p-21 + 0x1p-23 + 0x1p-22}, // 7 at first, then 8
	} {
		if c.gpu != gpu {
			continue
		}
		t.Setenv("LONGTAKE_CUDA", c.generation)
		x, w := make([]float32, 16), make([]float32, 16)
		x[0], w[0] = 1, 1
		for i := 1; i <= c.count; i++ {
			x[i] = c.sign * 0x1p-12
			w[i] = float32(math.Ldexp(1, c.small+12))
		}
		if got := dot(t, x, w); float64(got) != c.want {
			t.Errorf("%+v: got 1 %+.3g, want 1 %+.3g", c, got-1, c.want-1)
		}
	}
}

// dot multiplies two vectors in bfloat16.
func dot(t *testing.T, x, w []float32) float32 {
	d := openSlabs(t)
	l, err := d.PackLinear(w, nil, 1, len(w), compute.BF16)
	if err != nil {
		t.Fatal(err)
	}
	in, out, y := dense(t, d, 1, len(x)), dense(t, d, 1, 1), make([]float32, 1)
	d.Upload(in, x)
	d.Linear(out, in, l, compute.Epilogue{})
	if err := d.Download(y, out); err != nil {
		t.Fatal(err)
	}
	return y[0]
}

// TestBlocksOfFP8AreSummedInFloat32 sums 4,096 products of one sign, which are exact. Tensor cores
// keep 13 bits of the sum of E4M3's products: from one end to the other of k that would lose much
// of it; 128 at a time they lose little.
func TestBlocksOfFP8AreSummedInFloat32(t *testing.T) {
	onEmulator(t)
	d := openSlabs(t)
	if !slices.Contains(d.DTypes(), compute.FP8) {
		t.Skip("no FP8")
	}
	const k = 4096
	x, w := make([]float32, k), make([]float32, k)
	want := 0.0
	for i := range k {
		x[i], w[i] = float32(8+i%7)/16, float32(8+i*3%7)/16 // the largest is 448 / 512
		want += float64(x[i]) * float64(w[i])
	}
	l, err := d.PackLinear(w, nil, 1, k, compute.FP8)
	if err != nil {
		t.Fatal(err)
	}
	in, out, y := dense(t, d, 1, k), dense(t, d, 1, 1), make([]float32, 1)
	d.Upload(in, x)
	d.Linear(out, in, l, compute.Epilogue{})
	if err := d.Download(y, out); err != nil {
		t.Fatal(err)
	}
	e := math.Abs(float64(y[0])/want - 1)
	if e > 8e-3 {
		t.Errorf("got %g, want %g: an error of %.2g", y[0], want, e)
	}
	t.Logf("an error of %.2g", e)
}
