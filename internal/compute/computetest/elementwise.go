package computetest

import (
	"math"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// drawActivate draws dst = act(x) with any activation. In place or not, since the engine applies it
// to a layer's result where that lies.
func drawActivate(t *rapid.T) *trial {
	c, _ := drawNorm(t, drawSize(t, "width", 300))
	c.act = compute.Activation(rapid.IntRange(0, int(compute.GELU)).Draw(t, "act"))
	want := c.each(func(_ int, x float64) float64 { return reference(x, c.act) })
	return c.trial(want, func(r *rig, dst, x compute.Mat, _, _ int) {
		r.dev.Activate(dst, x, c.act)
	})
}

// each maps every element of x with its index. The index counts over the dense matrix, so i modulo
// the width is the column.
func (c *normCase) each(f func(i int, x float64) float64) []float64 {
	out := make([]float64, len(c.x))
	for i, v := range c.x {
		out[i] = f(i, float64(v))
	}
	return out
}

// drawAddVector draws dst[i,:] = x[i,:] + v.
func drawAddVector(t *rapid.T) *trial {
	c, _ := drawNorm(t, drawSize(t, "width", 300))
	want := c.each(func(i int, x float64) float64 { return x + float64(c.gain[i%c.d]) })
	return c.trial(want, func(r *rig, dst, x compute.Mat, _, _ int) {
		r.dev.AddVector(dst, x, r.vector(c.gain))
	})
}

// drawAdd draws dst = a + b, where dst may be a, or b, or neither. A kernel that reads b after it
// has written dst shows only where they are the same memory.
func drawAdd(t *rapid.T) *trial {
	c, r := drawNorm(t, drawSize(t, "width", 300))
	b := r.normal(len(c.x), 1)
	second := rapid.Bool().Draw(t, "dst is b")
	want := c.each(func(i int, x float64) float64 { return x + float64(b[i]) })
	return c.trial(want, func(r *rig, dst, x compute.Mat, lo, hi int) {
		y := r.place(b, c.n, c.d).RowRange(lo, hi)
		if second {
			x, y = y, x
		}
		r.dev.Add(dst, x, y)
	})
}

// drawCopy draws a copy through memory of another layout and back: strides differ on both ways. A
// copy that assumes equal strides, or dense rows, mixes up elements of neighbouring rows.
func drawCopy(t *rapid.T) *trial {
	c, _ := drawNorm(t, drawSize(t, "width", 300))
	c.inPlace = false
	want := c.each(func(_ int, x float64) float64 { return x })
	tr := c.trial(want, func(r *rig, dst, x compute.Mat, _, _ int) {
		// Dense to strided or the other way round, depending on the case's own layout.
		wide := placing{off: 1, gap: 3}.on(r.t, r.dev)
		between := wide.fresh(x.Rows, x.Cols)
		r.dev.Copy(between, x)
		r.dev.Copy(dst, between)
		r.mems = append(r.mems, wide.mems...)
	})
	tr.poison = nil
	return tr
}

// memory checks that Alloc zeroes, that views upload and download what they cover, and names. A
// device that reuses freed memory without clearing it, or that uploads whole rows, fails here.
func (s *suite) memory(t *testing.T) {
	dev := s.open(t, 2)
	if dev.Name() == "" {
		t.Fatal("the device has no name")
	}

	rapid.Check(t, func(t *rapid.T) {
		rows, cols := drawSize(t, "rows", 70), drawSize(t, "cols", 70)
		mem, err := dev.Alloc(rows * cols)
		if err != nil {
			t.Fatalf("cannot allocate: %v", err)
		}
		m := compute.NewMat(mem, rows, cols)
		r := &rig{t: t, dev: dev}
		all := make([]float32, rows*cols)
		r.download(all, m)
		same(t, all, make([]float32, rows*cols), "fresh memory")

		// Upload to some columns leaves the others alone.
		v := drawNumbers(t).normal(rows*cols, 1)
		lo := rapid.IntRange(0, cols-1).Draw(t, "lo")
		dev.Upload(m, v)
		dev.Upload(m.ColRange(lo, cols), make([]float32, rows*(cols-lo)))

		for i := range v {
			if i%cols >= lo {
				v[i] = 0
			}
		}
		r.download(all, m)
		same(t, all, v, "upload to columns [%d, %d)", lo, cols)
		dev.Free(mem)
	})

	if err := dev.Sync(); err != nil {
		t.Fatalf("Sync: %v", err)
	}
}

// zeroRows checks that rows of zeros stay finite through every norm and give zeros: padding is
// zeros, and its norm has nothing but eps to divide by.
func (s *suite) zeroRows(t *testing.T) {
	dev := s.open(t, 2)
	c := &normCase{n: 3, d: 24, x: make([]float32, 72), eps: 1e-6}
	c.gain = numbersFrom(1).normal(24, 1)

	ops := map[string]func(r *rig, dst, x compute.Mat, lo, hi int){
		"LayerNorm": func(r *rig, dst, x compute.Mat, _, _ int) {
			r.dev.LayerNorm(dst, x, compute.Norm{Eps: c.eps})
		},
		"RMSNorm": func(r *rig, dst, x compute.Mat, _, _ int) {
			r.dev.RMSNorm(dst, x, r.vector(c.gain), c.eps, nil)
		},
		"ChannelNorm": func(r *rig, dst, x compute.Mat, _, _ int) {
			r.dev.ChannelNorm(dst, x, r.vector(c.gain), compute.SiLU)
		},
	}

	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			close(t, c.trial(nil, op).run(t, dev, 0, 3), make([]float64, 72), 0)
		})
	}
}

// subnormals checks that tiny values neither trap nor grow. A device may flush them to zero or not:
// the sum of both operations is within 1e-30 of x either way. Some CPUs are far slower on such
// values, which is a reason to flush them; models must not depend on either.
func (s *suite) subnormals(t *testing.T) {
	dev := s.open(t, 1)
	c := &normCase{n: 2, d: 40, x: make([]float32, 80), eps: 1e-6}
	for i := range c.x {
		c.x[i] = math.Float32frombits(uint32(1 + 1000*i))
	}
	c.gain = make([]float32, 40)
	want := c.each(func(_ int, x float64) float64 { return x })
	tr := c.trial(want, func(r *rig, dst, x compute.Mat, _, _ int) {
		r.dev.LayerNorm(dst, x, compute.Norm{Eps: c.eps})
		r.dev.Add(x, x, dst)
		r.dev.AddVector(dst, x, r.vector(c.gain))
	})
	close(t, tr.run(t, dev, 0, 2), want, 1e-30)
}

// activations sweeps the activations over the range where they bend and far beyond it, where an
// exponential overflows or a difference cancels.
func (s *suite) activations(t *testing.T) {
	dev := s.open(t, 2)
	for act := compute.Identity; act <= compute.GELU; act++ {
		c := &normCase{n: 1, act: act}
		for x := -200.0; x <= 200; x += 0.037 {
			c.x = append(c.x, float32(x))
		}
		c.x = append(c.x, 0, 1e-30, -1e-30, 1e10, -1e10, 3e38, -3e38)

		c.d = len(c.x)
		tr := c.trial(nil, func(r *rig, dst, x compute.Mat, _, _ int) {
			r.dev.Activate(dst, x, act)
		})
		want := c.each(func(_ int, x float64) float64 { return reference(x, act) })
		close(t, tr.run(t, dev, 0, 1), want, s.tol)
	}
}

// transfers checks that what goes out as bfloat16 is rounded to nearest, ties to even, and comes in
// unchanged, in any layout. Ranks exchange activations in this form, so two devices that round
// differently would give a clip other bits.
func (s *suite) transfers(t *testing.T) {
	dev := s.open(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := drawSize(t, "rows", 20), drawSize(t, "cols", 70)
		x, g := drawNumbers(t).normal(rows*cols, 1), drawPlacing(t).on(t, dev)
		bytes := make([]byte, 2*rows*cols)
		if err := dev.DownloadBF16(bytes, g.place(x, rows, cols)); err != nil {
			t.Fatalf("cannot download: %v", err)
		}

		back := g.fresh(rows, cols)
		dev.UploadBF16(back, bytes)
		for i, v := range g.take(back, 0, rows) {
			if want := rounded(x[i], compute.BF16); float64(v) != want {
				t.Fatalf("element %d is %g, want %g", i, v, want)
			}
		}
	})
}
